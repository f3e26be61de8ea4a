"""The signatures of an export, on real images."""

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.trainer.backbones.build import make_backbone, scale_pixels
from components.trainer.export.signatures import ServedModel
from components.trainer.features.folding import pool
from components.trainer.heads.head import Head
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import CLASSES, SIDE, WIDTH

SHAPES = {  # signature: input, outputs with dtype and shape
    features.SERVE_BYTES: (
        features.INPUT_BYTES,
        {
            features.OUTPUT_LABEL: (tf.string, [None]),
            features.OUTPUT_PROBABILITY: (tf.float32, [None]),
            features.OUTPUT_PROBABILITIES: (tf.float32, [None, 3]),
            features.OUTPUT_OUTLIER: (tf.float32, [None]),
            features.OUTPUT_KNOWN: (tf.bool, [None]),
        },
    ),
    features.EXPLAIN: (
        features.INPUT_BYTES,
        {features.OUTPUT_LABEL: (tf.string, [None]), features.OUTPUT_CAM: (tf.float32, [None, 2, 2])},
    ),
    features.EMBED: (features.INPUT_BYTES, {features.OUTPUT_FEATURES: (tf.float32, [None, WIDTH])}),
}
SHAPES[features.EXPLAIN_CLASS] = SHAPES[features.EXPLAIN]
SHAPES[features.SERVE_EXAMPLES] = (
    features.INPUT_EXAMPLES,
    SHAPES[features.SERVE_BYTES][1] | SHAPES[features.EMBED][1],
)


@pytest.fixture(scope="module")
def model(trained):
    return tf.saved_model.load(str(trained.path))


@pytest.fixture(scope="module")
def images(eval_records):
    return tf.constant(eval_records.contents)


@pytest.fixture(scope="module")
def answers(model, images):
    return {name: answer.numpy() for name, answer in model.signatures[features.SERVE_BYTES](images).items()}


def test_there_are_five_signatures(model):
    assert set(model.signatures) == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_names_dtypes_and_shapes_are_those_of_the_contract(model, name):
    signature = model.signatures[name]
    wanted, outputs = SHAPES[name]
    inputs = signature.structured_input_signature[1]
    expected = {wanted: (tf.string, [None])}
    if name == features.EXPLAIN_CLASS:
        expected[features.INPUT_CLASS] = (tf.int64, [None])
    assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in inputs.items()} == expected
    found = {key: (spec.dtype, spec.shape.as_list()) for key, spec in signature.structured_outputs.items()}
    assert found == outputs


def test_probabilities_sum_to_one_and_label_and_probability_are_the_largest(answers):
    probabilities = answers[features.OUTPUT_PROBABILITIES]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (probabilities >= 0).all()
    best = probabilities.argmax(axis=1)
    assert [label.decode() for label in answers[features.OUTPUT_LABEL]] == [CLASSES[index] for index in best]
    np.testing.assert_array_equal(answers[features.OUTPUT_PROBABILITY], probabilities.max(axis=1))


def test_a_server_finds_a_value_for_every_variable(trained):
    """TensorFlow Serving reads graph and checkpoint as they are; Python's loader would join what does not fit."""
    from tensorflow.python.saved_model import loader_impl

    handles = [
        node.attr["shared_name"].s
        for meta in loader_impl.parse_saved_model(str(trained.path)).meta_graphs
        for node in meta.graph_def.node
        if node.op == "VarHandleOp"
    ]
    stored = [name for name, _ in tf.train.list_variables(str(trained.path / "variables" / "variables"))]
    assert len(handles) == len(set(handles)) == len(stored) - 1  # one is the graph of objects


def test_serialized_examples_get_the_same_answers(model, eval_records, answers):
    served = model.signatures[features.SERVE_EXAMPLES](tf.constant(eval_records.serialized))
    np.testing.assert_array_equal(served[features.OUTPUT_LABEL], answers[features.OUTPUT_LABEL])
    np.testing.assert_allclose(served[features.OUTPUT_PROBABILITIES], answers[features.OUTPUT_PROBABILITIES], atol=1e-6)


def test_an_answer_does_not_depend_on_the_other_images_of_its_batch(model, images, answers):
    for index in (0, 7, 14):
        alone = model.signatures[features.SERVE_BYTES](images[index : index + 1])
        np.testing.assert_allclose(
            alone[features.OUTPUT_PROBABILITIES][0], answers[features.OUTPUT_PROBABILITIES][index], atol=1e-5
        )


def test_embed_gives_the_pooled_features_of_the_backbone(model, images, transform, trunk):
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1").model
    layer = transform.transform_features_layer()
    pixels = layer({features.IMAGE: images[:, tf.newaxis]})[features.PIXELS]
    expected = pool(backbone(scale_pixels(pixels, "-1..1"), training=False))
    found = model.signatures[features.EMBED](images)[features.OUTPUT_FEATURES]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_features_and_head_give_the_probabilities(model, images, answers):
    pooled = model.signatures[features.EMBED](images)[features.OUTPUT_FEATURES]
    again = tf.nn.softmax(tf.matmul(pooled, model.kernel) + model.bias)
    np.testing.assert_allclose(again, answers[features.OUTPUT_PROBABILITIES], atol=1e-5)


def test_the_activation_map_is_in_range_and_its_strongest_place_is_one(model, images, answers):
    explained = model.signatures[features.EXPLAIN](images)
    cam = explained[features.OUTPUT_CAM].numpy()
    assert cam.min() >= 0.0
    assert cam.max() <= 1.0
    strongest = cam.max(axis=(1, 2))
    assert set(np.unique(strongest.round(6))) <= {0.0, 1.0}
    assert strongest.max() == pytest.approx(1.0)
    np.testing.assert_array_equal(explained[features.OUTPUT_LABEL], answers[features.OUTPUT_LABEL])


def test_the_activation_map_is_exact(model, images, transform, trunk):
    """Its mean over the image, before cutting and scaling, plus the bias is the logit."""
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1").model
    pixels = transform.transform_features_layer()({features.IMAGE: images[:, tf.newaxis]})[features.PIXELS]
    maps = backbone(scale_pixels(pixels, "-1..1"), training=False).numpy()
    kernel, bias = model.kernel.numpy(), model.bias.numpy()
    logits = maps.mean(axis=(1, 2)) @ kernel + bias
    best = logits.argmax(axis=1)
    evidence = np.einsum("bhwd,db->bhw", maps, kernel[:, best])
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)) + bias[best], logits.max(axis=1), atol=1e-4)
    positive = np.maximum(evidence, 0.0)
    strongest = positive.max(axis=(1, 2), keepdims=True)
    expected = np.divide(positive, strongest, out=np.zeros_like(positive), where=strongest > 0)
    found = model.signatures[features.EXPLAIN](images)[features.OUTPUT_CAM]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def explain_class(model, images, label):
    indices = tf.fill([len(images)], tf.constant(label, tf.int64))
    return model.signatures[features.EXPLAIN_CLASS](**{features.INPUT_BYTES: images, features.INPUT_CLASS: indices})


def test_the_map_of_the_predicted_class_is_that_of_explain(model, images, answers):
    explained = model.signatures[features.EXPLAIN](images)[features.OUTPUT_CAM].numpy()
    best = answers[features.OUTPUT_PROBABILITIES].argmax(axis=1)
    by_class = [explain_class(model, images, label) for label in range(len(CLASSES))]
    assert [set(found[features.OUTPUT_LABEL].numpy()) for found in by_class] == [{name.encode()} for name in CLASSES]
    maps = np.stack([found[features.OUTPUT_CAM].numpy() for found in by_class])
    np.testing.assert_allclose(maps[best, np.arange(len(images))], explained, atol=1e-6)


def test_the_map_of_any_class_is_exact(model, images, transform, trunk):
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1").model
    pixels = transform.transform_features_layer()({features.IMAGE: images[:, tf.newaxis]})[features.PIXELS]
    maps = backbone(scale_pixels(pixels, "-1..1"), training=False).numpy()
    for label in range(len(CLASSES)):
        positive = np.maximum(maps @ model.kernel.numpy()[:, label], 0.0)
        strongest = positive.max(axis=(1, 2), keepdims=True)
        expected = np.divide(positive, strongest, out=np.zeros_like(positive), where=strongest > 0)
        np.testing.assert_allclose(explain_class(model, images, label)[features.OUTPUT_CAM], expected, atol=1e-3)


@pytest.mark.parametrize("label", [-1, len(CLASSES)])
def test_a_class_that_there_is_not_has_no_map(model, images, label):
    with pytest.raises(tf.errors.InvalidArgumentError):
        explain_class(model, images, label)


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(SIDE)


@pytest.mark.parametrize("units", [0, 5])
@pytest.mark.parametrize("pooling", ["avg", "max", "both"])
def test_what_the_places_add_is_the_logit_whatever_the_pooling_and_the_head(
    backbone, transform, images, pooling, units
):
    random = np.random.default_rng(3)

    def layer(before, after):
        return (
            random.normal(0, 0.05, [before, after]).astype(np.float32),
            random.normal(0, 0.1, after).astype(np.float32),
        )

    width = 16 if pooling == "both" else 8
    hidden = layer(width, units) if units else None
    head = Head(*layer(units or width, 3), hidden=hidden)
    served = ServedModel(backbone, pooling, head, transform, CLASSES)
    pixels = served.decode(images)
    maps, pooled = served.maps(pixels), served.pooled(images)
    logits = head.logits(pooled).numpy()
    best, evidence = served.evidence(maps)
    np.testing.assert_array_equal(best, logits.argmax(axis=1))
    weights = head.kernel[:, best.numpy()].T
    constant = head.bias[best.numpy()]
    if hidden:
        is_on = (pooled.numpy() @ hidden[0] + hidden[1]) > 0
        constant = constant + (weights * is_on * hidden[1]).sum(axis=1)
    np.testing.assert_allclose(evidence.numpy().sum(axis=(1, 2)) + constant, logits.max(axis=1), atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(
        served.classify(pooled)[features.OUTPUT_PROBABILITIES], head.probabilities(pooled), atol=1e-5
    )


def test_an_image_without_evidence_has_an_empty_map_not_nan(stubborn_model, images):
    stubborn = tf.saved_model.load(str(stubborn_model / "Format-Serving"))
    cam = stubborn.signatures[features.EXPLAIN](images)[features.OUTPUT_CAM].numpy()
    np.testing.assert_array_equal(cam, np.zeros_like(cam))


@pytest.mark.parametrize("name", [features.SERVE_BYTES, features.EXPLAIN, features.EMBED])
def test_junk_among_the_images_is_an_error(model, images, name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.signatures[name](tf.constant([images[0].numpy(), b"no image"]))
