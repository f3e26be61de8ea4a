"""Presets of KerasHub: a tiny random network of each kind goes all the way, offline."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.options.trainer import FineTuneOptions, TrainerOptions
from components.trainer.backbones import table
from components.trainer.backbones.build import find_source, make_backbone
from components.trainer.backbones.families import keras_hub as family
from components.trainer.backbones.presets import AROUND_ZERO, KINDS, TORCH, Preset
from components.trainer.export.signatures import ServedModel
from components.trainer.export.write import export_model
from components.trainer.features.folding import fold_backbone
from components.trainer.fine_tune.layers import choose_layers, unfreeze
from components.trainer.heads.head import Head
from components.trainer.train import run_fn
from components.trainer.trial import try_network
from pipeline.config.configuration import load_config
from pipeline.run.planning import hash_weights
from tests.components.trainer.backbones.tiny_presets import SIDE, SIZES, WIDTH, write_preset
from tests.conftest import CLASSES, EVAL_COUNT, TRAIN_COUNT

pytest.importorskip("keras_hub")

SIZE, GRID = (SIDE, SIDE), (4, 4)
TRANSFORMERS = [name for name, kind in KINDS.items() if kind.tokens]
EXPORTED = (
    "DINOV2",
    "SigLIP",
    "HGNetV2",
)  # a class token, a part of a network, a convolution; each takes seven seconds
QUICK = ("DINOV2", "SigLIP", "VGG")  # of the others, `make test` tries each
HAND = {"scale": [0.01, 0.02, 0.03], "offset": [-1.0, 0.0, 0.5]}  # an image converter of no row


@pytest.fixture(scope="module")
def preset(made_once):
    """Writes the tiny preset of a kind when it is first asked for: `keras_hub:FOLDER`."""
    return lambda kind: f"keras_hub:{made_once(f'preset-{kind}', lambda folder: write_preset(kind, folder), False)}"


@pytest.fixture
def own(preset, tmp_path):
    """A copy of a preset that a test may change: (its folder, its name)."""

    def copy(kind):
        folder = tmp_path / kind
        shutil.copytree(preset(kind).removeprefix("keras_hub:"), folder)
        return folder, f"keras_hub:{folder}"

    return copy


def images(count=5):
    return np.random.default_rng(3).uniform(0, 255, (count, *SIZE, 3)).astype("float32")


def each(kinds, *values):
    """A row of parameters a kind; all but a few are slow: building each kind takes seconds."""
    return [pytest.param(kind, *values, marks=() if kind in QUICK else pytest.mark.slow) for kind in kinds]


def served(name, pooling, transform, seed=0):
    """A model with a head of random values, not exported."""
    built = make_backbone(name, SIZE, {}, "imagenet", pooling=pooling)
    width = built.width * (2 if pooling == "both" else 1)
    random = np.random.default_rng(seed)
    head = Head(random.normal(size=(width, 3)).astype("float32"), random.normal(size=3).astype("float32"))
    return built, ServedModel(built, pooling, head, transform, CLASSES)


def test_each_kind_has_a_tiny_network():
    assert sorted(SIZES) == sorted(KINDS)


@pytest.mark.parametrize("kind", each(KINDS))
def test_it_gives_a_grid_of_features(preset, kind):
    built = make_backbone(preset(kind), SIZE, {}, "imagenet")
    assert (built.output, built.scaling, built.model.trainable) == ("maps", "inside", False)
    if kind in TRANSFORMERS:
        assert built.shape == (*GRID, WIDTH)
    answers = built.model(images(), training=False).numpy()
    assert np.isfinite(answers).all()
    assert np.ptp(answers, axis=0).max() > 0  # images differ


@pytest.mark.parametrize("kind", each(TRANSFORMERS))
def test_places_stand_where_their_patches_are(preset, kind):
    """A change of one patch changes its own place the most: tokens are not shifted, turned or taken for the class."""
    built = make_backbone(preset(kind), SIZE, {}, "imagenet")
    plain = images(1)
    for row, column in ((0, 0), (0, 3), (2, 1), (3, 3)):
        other = plain.copy()
        other[:, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 0.0
        change = np.abs(built.model(other) - built.model(plain)).sum(axis=-1)[0]
        assert np.unravel_index(change.argmax(), GRID) == (row, column)


@pytest.mark.parametrize("kind", ["DINOV2", "ViT"])
def test_the_class_token_is_the_networks_own(preset, kind):
    import keras_hub

    folder = preset(kind).removeprefix("keras_hub:")
    factor, offset = KINDS[kind].pixels
    plain = keras_hub.models.Backbone.from_preset(folder)(images() * factor + np.asarray(offset, "float32")).numpy()
    found = {
        pooling: make_backbone(preset(kind), SIZE, {}, "imagenet", pooling=pooling).model(images()).numpy()
        for pooling in ("avg", "cls", "cls+avg")
    }
    extra = 1 + (3 if kind == "DINOV2" else 0)  # registers are dropped
    np.testing.assert_allclose(found["cls"], plain[:, 0], atol=1e-5)
    np.testing.assert_allclose(found["avg"].reshape(5, 16, WIDTH), plain[:, extra:], atol=1e-5)
    np.testing.assert_allclose(found["cls+avg"][..., :WIDTH], found["avg"], atol=1e-5)
    np.testing.assert_allclose(found["cls+avg"][..., WIDTH:].mean((1, 2)), plain[:, 0], atol=1e-5)


def test_siglips_vector_is_that_of_its_head(preset):
    import keras_hub

    seen = keras_hub.models.Backbone.from_preset(preset("SigLIP").removeprefix("keras_hub:")).vision_encoder
    built = make_backbone(preset("SigLIP"), SIZE, {}, "imagenet", pooling="cls")
    np.testing.assert_allclose(built.model(images()), seen(images() / 127.5 - 1), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [*each(KINDS, "avg"), *each(TRANSFORMERS, "cls+avg"), ("DINOV2", "both")],
)
def test_the_map_adds_up_to_the_logit(preset, kind, pooling, transform):
    built, model = served(preset(kind), pooling, transform)
    maps = model.maps(tf.constant(images()))
    pooled = built.model(images()).numpy().mean((1, 2)) if pooling != "both" else None
    label, evidence = model.evidence(maps)
    kernel, bias = model.kernel.numpy(), model.bias.numpy()
    if pooled is None:
        values = built.model(images()).numpy()
        pooled = np.concatenate([values.mean((1, 2)), values.max((1, 2))], axis=-1)
    logit = (pooled @ kernel + bias)[np.arange(5), label]
    of_token = np.zeros(5)
    if pooling == "cls+avg":  # comes from no place: it stands beside the bias
        of_token = (pooled[:, WIDTH:] @ kernel[WIDTH:])[np.arange(5), label]
        assert np.abs(of_token).max() > 0.01
    np.testing.assert_allclose(evidence.numpy().sum((1, 2)) + bias[label] + of_token, logit, atol=1e-4, rtol=1e-4)


def test_a_class_token_alone_is_explained_by_no_place(preset, transform):
    _, model = served(preset("ViT"), "cls", transform)
    assert (model.has_maps, model.explain, model.explain_class) == (False, None, None)


def test_pixels_are_scaled_as_the_preset_says_else_as_the_row(own, preset, tmp_path):
    import keras_hub

    folder, name = own("DINOV2")
    plain = keras_hub.models.Backbone.from_preset(str(folder))
    of_row = plain(images() * np.float32(TORCH[0]) + np.float32(TORCH[1]))
    np.testing.assert_allclose(
        make_backbone(name, SIZE, {}, "imagenet", pooling="cls").model(images()), of_row[:, 0], atol=1e-4
    )
    keras_hub.layers.DINOV2ImageConverter(**HAND).save_to_preset(str(folder))
    by_hand = plain(images() * np.float32(HAND["scale"]) + np.float32(HAND["offset"]))
    built = make_backbone(name, SIZE, {}, "imagenet", pooling="cls")
    np.testing.assert_allclose(built.model(images()), by_hand[:, 0], atol=1e-4)
    with pytest.raises(InputError, match=r"scales its pixels as its preset says, got 'torch'.\nLeave"):
        make_backbone(name, SIZE, {}, "imagenet", "torch")
    assert make_backbone(name, SIZE, {}, "imagenet", "inside").digest == built.digest


def test_scalings_of_rows_are_those_of_their_names():
    assert KINDS["ViT"].pixels == AROUND_ZERO
    white = np.multiply(255.0, TORCH[0]) + TORCH[1]
    np.testing.assert_allclose(white, (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225])


def test_dinos_take_other_sizes_than_they_were_trained_with(preset):
    for kind in ("DINOV2", "DINOV3"):
        assert make_backbone(preset(kind), (96, 96), {}, "imagenet").shape == (6, 6, WIDTH)


@pytest.mark.parametrize(
    ("kind", "size", "words"),
    [
        ("DINOV2", (70, 70), r"patches of 16 x 16 pixels, .* got 70 x 70.\nSet .*: \[64, 64\] or \[80, 80\]\."),
        ("DINOV2", (8, 8), r"got 8 x 8.\nSet transform.image_size: \[16, 16\]\."),
        ("DINOV2", (64, 96), r"DINOV2 takes square images, got 64 x 96.\nSet transform.image_size: 96\."),
        ("DINOV3", (96, 80), r"DINOV3 takes square images, got 96 x 80"),
        ("ViT", (96, 96), r"takes 64 x 64 pixels, as many as its ViT has learned .*\n.*: \[64, 64\]\."),
        ("SigLIP", (96, 96), r"takes 64 x 64 pixels, as many as its SigLIP has learned .*\n.*: \[64, 64\]\."),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_configuration(preset, kind, size, words):
    with pytest.raises(InputError, match=words):
        load_config(None, [f"trainer.backbone={preset(kind)}", f"transform.image_size={list(size)}"])


def test_a_size_of_its_own_need_not_be_whole_patches():
    """As that of siglip_so400m_patch14_384: the network leaves out the edge, as it was trained."""
    preset = Preset("somewhere", KINDS["SigLIP"], {"image_shape": [64, 64, 3], "patch_size": 14})
    preset.check_size(SIZE)
    with pytest.raises(InputError, match="takes 64 x 64 pixels"):
        preset.check_size((70, 70))


def test_images_too_small_for_convolutions_are_refused_by_the_trial(preset):
    options = TrainerOptions(backbone=preset("Xception"))
    with pytest.raises(InputError, match=r"(?s)images of 2 x 2.*Set another transform.image_size"):
        try_network(options, (2, 2), [])


def write(folder, **content):
    (folder / "config.json").write_text(json.dumps(content), "utf-8")


def test_folders_that_are_no_presets_are_refused_in_words(own, tmp_path):
    def refusal(path):
        with pytest.raises(InputError) as caught:
            table.check_request(f"keras_hub:{path}", SIZE, {})
        return str(caught.value)

    assert "there is no such folder" in refusal(tmp_path / "gone <b>'ü")
    (tmp_path / "empty").mkdir()
    assert "it has no config.json" in refusal(tmp_path / "empty")
    folder, _ = own("ViT")
    (folder / "config.json").write_text("{", "utf-8")
    assert "cannot be read as JSON" in refusal(folder)
    write(folder, model_type="dinov2")
    assert "is of another library" in refusal(folder)
    assert "form of Transformers or timm" in refusal(folder)
    write(folder, class_name="BertBackbone", config={})
    assert "is of BertBackbone" in refusal(folder)
    write(folder, class_name="VITBackbone", config={})
    assert "Did you mean 'ViT'?" in refusal(folder)
    (folder / "config.json").write_text("[1]", "utf-8")
    assert "is of another library" in refusal(folder)
    write(folder, class_name="ViTBackbone")
    assert "does not say the sizes" in refusal(folder)
    folder, _ = own("VGG")
    (folder / "model.weights.h5").unlink()
    assert "has no weights" in refusal(folder)


def test_weights_that_do_not_fit_are_refused_by_the_trial(own):
    folder, name = own("ViT")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["config"]["mlp_dim"] = 48
    write(folder, **config)
    with pytest.raises(InputError, match="cannot be built for images of 64 x 64 by the KerasHub that is installed"):
        try_network(TrainerOptions(backbone=name), SIZE, [])
    (folder / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be built"):
        try_network(TrainerOptions(backbone=name), SIZE, [])


@pytest.mark.parametrize("pooling", ["cls", "cls+avg"])
def test_a_class_token_where_there_is_none_is_refused_before_any_image(preset, pooling):
    words = f"'{re_escaped(pooling)}' takes the class token of a transformer, and .* has none"
    with pytest.raises(InputError, match=words):
        try_network(TrainerOptions(backbone=preset("VGG"), pooling=pooling), SIZE, [])
    with pytest.raises(InputError, match=words):
        make_backbone("MobileNetV2", SIZE, {"alpha": 0.35}, "none", pooling=pooling)


def re_escaped(text):
    return text.replace("+", r"\+")


def test_what_does_not_go_with_a_preset_is_refused(preset):
    name = preset("VGG")
    with pytest.raises(InputError, match=r"a preset takes none, got alpha for keras_hub:"):
        table.check_request(name, SIZE, {"alpha": 1})
    for weights in ("none", "trunk.h5"):
        with pytest.raises(InputError, match=f"brings its own, got '{weights}'"):
            table.check_weights(name, weights, None)
    with pytest.raises(InputError, match="there is nothing to fetch"):
        family.find_weights(name, SIZE, {})
    for other in ("keras_hub:", "keras_hub:s3://bucket/preset", "keras_hub:https://example.org/x"):
        with pytest.raises(InputError, match="expected keras_hub:NAME, keras_hub:FOLDER"):
            table.check_request(other, SIZE, {})


def test_without_kerashub_its_package_is_named(preset, monkeypatch):
    monkeypatch.setattr(family, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"keras_hub:dinov2_base needs the package keras-hub.*\nInstall it"):
        table.check_request("keras_hub:dinov2_base", SIZE, {})


def test_a_relative_folder_is_meant_from_the_configuration(own, tmp_path, monkeypatch):
    folder, _ = own("VGG")
    (tmp_path / "run.yaml").write_text(f"trainer:\n  backbone: keras_hub:./{folder.name}\n", "utf-8")
    config = load_config(str(tmp_path / "run.yaml"), ["transform.image_size=64"])
    assert config.trainer.backbone == f"keras_hub:{tmp_path}/{folder.name}"
    monkeypatch.setenv("PRESETS", str(tmp_path))
    for written in ("keras_hub:$PRESETS/VGG", "keras_hub:~/VGG"):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert load_config(None, [f"trainer.backbone={written}"]).trainer.backbone == f"keras_hub:{tmp_path}/VGG"
    assert load_config(None, ["trainer.backbone=keras_hub:vgg_16_imagenet"]).trainer.backbone.endswith(
        ":vgg_16_imagenet"
    )


def test_its_digest_is_that_of_its_files_wherever_they_lie(preset, own):
    folder, name = own("VGG")
    source = find_source(name, SIZE, {}, "imagenet")
    assert source.path == str(folder)
    assert source.sha256 == find_source(preset("VGG"), SIZE, {}, "imagenet").sha256
    (folder / "README.md").write_text("of no matter", "utf-8")
    assert find_source(name, SIZE, {}, "imagenet", source.sha256) == source
    before = hash_weights(TrainerOptions(backbone=name))
    (folder / "image_converter.json").write_text("{}", "utf-8")
    assert hash_weights(TrainerOptions(backbone=name)) != before
    with pytest.raises(InputError, match="weights_sha256"):
        find_source(name, SIZE, {}, "imagenet", source.sha256)


def test_a_named_preset_comes_from_the_cache_and_says_its_licence(own, monkeypatch, caplog):
    import kagglehub

    folder, _ = own("DINOV2")
    asked = []
    monkeypatch.setattr(kagglehub, "model_download", lambda handle: asked.append(handle) or str(folder))
    caplog.set_level(logging.INFO, logger="graft.progress")
    built = make_backbone("keras_hub:dinov2_small", SIZE, {}, "imagenet")
    assert (built.shape, built.weights_file) == ((*GRID, WIDTH), str(folder))
    assert asked[0].startswith("keras/dinov2/keras/dinov2_small/")
    assert "looking for the preset dinov2_small" in caplog.text
    described = table.describe_weights("keras_hub:dinov2_small", SIZE, {}, "imagenet")
    assert described == {
        "source": "keras_hub:dinov2_small",
        "url": f"https://www.kaggle.com/models/{asked[0]}",
        "license": "apache-2.0",
        "terms": KINDS["DINOV2"].license.terms,
    }
    assert table.describe_weights("keras_hub:medsiglip_900m_448", SIZE, {}, "imagenet")["license"] == ""
    of_anybody = table.describe_weights("keras_hub:hf://me/mine", SIZE, {}, "imagenet")
    assert of_anybody == {
        "source": "keras_hub:hf://me/mine",
        "url": "https://huggingface.co/me/mine",
        "license": "",
        "terms": "",
    }
    assert table.describe_weights(f"keras_hub:{folder}", SIZE, {}, "imagenet") == {"source": "DINOV2"}


def test_a_preset_that_cannot_be_had_says_both_ways_out(monkeypatch):
    import kagglehub

    def fail(handle):
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(kagglehub, "model_download", fail)
    with pytest.raises(
        InputError, match=r"(?s)dinov2_small could not be had from kaggle://.*: no route to host\n.*save_to"
    ):
        try_network(TrainerOptions(backbone="keras_hub:dinov2_small"), SIZE, [])
    with pytest.raises(InputError, match=r"(?s)no preset 'dinov2_smal' .*Did you mean 'dinov2_small'\?"):
        try_network(TrainerOptions(backbone="keras_hub:dinov2_smal"), SIZE, [])
    with pytest.raises(InputError, match="no preset 'bert_base_en' of a kind that Graft knows"):
        family.locate("keras_hub:bert_base_en")


def test_a_second_stage_counts_the_blocks_of_a_transformer(preset):
    for kind in ("DINOV2", "ViT", "SigLIP"):
        model = make_backbone(preset(kind), SIZE, {}, "imagenet").model
        names = [layer.name for layer in choose_layers(model, FineTuneOptions(layers=100))]
        blocks = [type(layer).__name__ for layer in choose_layers(model, FineTuneOptions(layers=100))]
        assert sum(name in ("DINOV2Layer", "ViTEncoderBlock", "SigLIPEncoderLayer") for name in blocks) == 2, names


def test_a_second_stage_leaves_batch_norms_inside_of_blocks(preset):
    built = make_backbone(preset("MobileNet"), SIZE, {}, "imagenet")
    trained = [variable.path for variable in unfreeze(built, "avg", FineTuneOptions(layers=100)).variables]
    assert any("conv" in path for path in trained)
    assert not [path for path in trained if path.endswith(("gamma", "beta", "moving_mean"))], trained


def train(name, folder, records, transform_uri, **options):
    """Runs the Trainer; its record, and the folder of its export."""
    settings = {"epochs": 4, "validation_fraction": 0.25, "tensorboard": False, **options}
    options = TrainerOptions(backbone=name, **settings).to_json()
    given = {"options": options, "features_dir": str(folder / "features"), "source_fingerprint": "that of these tests"}
    run_fn(
        SimpleNamespace(
            custom_config=given,
            transform_output=transform_uri,
            train_files=records[0].pattern,
            eval_files=records[1].pattern,
            serving_model_dir=str(folder / "export"),
            model_run_dir=str(folder / "run"),
            hyperparameters=None,
        )
    )
    return json.loads((folder / "run" / features.HISTORY_FILE).read_text("utf-8")), folder / "export"


ANSWER = """
import json, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        hidden = ("keras_hub", "components", "kagglehub", "tensorflow_text")
        if name == "keras.src" or name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import tensorflow as tf
images = [open(path, "rb").read() for path in sys.argv[2:]]
for folder in sys.argv[1].split(":"):
    answer = tf.saved_model.load(folder).signatures["serving_default"](tf.constant(images))
    print("ANSWER " + json.dumps(answer["probabilities"].numpy().tolist()))
"""


def ask_without_kerashub(exports, contents, folder):
    """Probabilities of each export for some images, from a process that has neither KerasHub nor Graft."""
    paths = [folder / f"{number}.img" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    command = [sys.executable, "-c", ANSWER, ":".join(map(str, exports)), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    return [np.array(json.loads(line.removeprefix("ANSWER "))) for line in lines]


@pytest.mark.slow
def test_exports_answer_without_kerashub_as_the_folded_network_does(preset, tmp_path, transform, eval_records):
    contents = eval_records.contents[:4]
    pixels = transform.transform_features_layer()({features.IMAGE: tf.constant(contents)[:, None]})[features.PIXELS]
    expected = []
    for kind in EXPORTED:
        pooling = "cls+avg" if KINDS[kind].tokens else "avg"
        built, model = served(preset(kind), pooling, transform)
        values = fold_backbone(built.model, built.scaling, pooling)(pixels).numpy()
        expected.append(tf.nn.softmax(values @ model.kernel.numpy() + model.bias.numpy()).numpy())
        export_model(model, str(tmp_path / kind), {"classes": CLASSES})
    answers = ask_without_kerashub([tmp_path / kind for kind in EXPORTED], contents, tmp_path)
    for kind, answer, wanted in zip(EXPORTED, answers, expected, strict=True):
        np.testing.assert_allclose(answer, wanted, atol=1e-4, err_msg=kind)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pooling"), [("DINOV2", "cls+avg"), ("SigLIP", "cls")])
def test_it_goes_all_the_way(preset, tmp_path, train_records, eval_records, transform_uri, kind, pooling):
    """Features agree with the export, a second run computes none, and the export answers as training did."""
    records = train_records, eval_records
    record, export = train(preset(kind), tmp_path, records, transform_uri, pooling=pooling)
    assert record["features_computed"] == TRAIN_COUNT + EVAL_COUNT
    assert record["parity"] < 1e-4
    facts = json.loads((export / "assets" / features.FACTS_ASSET).read_text("utf-8"))
    assert (facts["scaling"], facts["pooling"], list(facts["packages"])) == ("inside", pooling, ["keras-hub"])
    assert facts["feature_width"] == {"DINOV2": 2 * WIDTH, "SigLIP": WIDTH, "EfficientNet": 1280}[kind]
    assert (features.EXPLAIN in tf.saved_model.load(str(export)).signatures) == (pooling != "cls")
    saved = np.load(tmp_path / "run" / features.PREDICTIONS_FILE)
    order = [list(saved["sha256"]).index(sha256(content)) for content in eval_records.contents]
    (answer,) = ask_without_kerashub([export], eval_records.contents, tmp_path)
    np.testing.assert_allclose(answer, saved["probabilities"][order], atol=1e-4)
    shutil.rmtree(export)
    record, _ = train(preset(kind), tmp_path, records, transform_uri, pooling=pooling, learning_rate=0.01)
    assert (record["features_computed"], record["features_kept"]) == (0, TRAIN_COUNT + EVAL_COUNT)


def sha256(content):
    return hashlib.sha256(content).hexdigest().encode()


@pytest.mark.slow
def test_a_second_stage_trains_blocks_of_a_transformer(preset, tmp_path, train_records, eval_records, transform_uri):
    stage = FineTuneOptions(layers=2, epochs=1)
    record, _ = train(preset("DINOV2"), tmp_path, (train_records, eval_records), transform_uri, fine_tune=stage)
    assert record["parity"] < 1e-4
    assert len(record["fine_tune"]["history"]["loss"]) == 1


@pytest.mark.slow
def test_half_precision_and_further_forms_are_tried(preset):
    for kind in ("ViT", "DINOV2"):
        options = TrainerOptions(backbone=preset(kind), precision="mixed_bfloat16", pooling="cls+avg")
        assert try_network(options, SIZE, ["tflite"]) == preset(kind).removeprefix("keras_hub:")
