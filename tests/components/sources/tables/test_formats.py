"""Tables as people have them: what each is read as, in folders and archives, and wherever its paths come from."""

import json

import pytest

from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import trees

IMAGES = {"cats/1.jpg": "cats", "cats/2.jpg": "cats", "dogs/3.jpg": "dogs", "dogs/4.JPG": "dogs"}
FLAT = {name.replace("/", "-"): label for name, label in IMAGES.items()}


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def labels_of(listing):
    return {source.name: source.label for source in listing.sources}


def csv_of(rows, delimiter=",", end="\n"):
    return end.join(delimiter.join(map(str, row)) for row in rows) + end


def coco(labels):
    classes = sorted(set(labels.values()))
    return {
        "info": {},
        "images": [{"id": 10 + place, "file_name": name} for place, name in enumerate(labels)],
        "categories": [{"id": 5, "name": "things"}] + [{"id": 6 + i, "name": name} for i, name in enumerate(classes)],
        "annotations": [
            {"id": number, "image_id": 10 + place, "category_id": 6 + classes.index(label), "bbox": [0, 0, 1, 1]}
            for place, label in enumerate(labels.values())
            for number in (2 * place, 2 * place + 1)
        ],
    }


def task(path, *choices, cancelled=False):
    result = [{"value": {"choices": list(choices)}, "type": "choices", "from_name": "class"}]
    return {"id": 1, "data": {"image": path}, "annotations": [{"result": result, "was_cancelled": cancelled}]}


def vertex_line(path, label):
    return {
        "imageGcsUri": f"gs://bucket/data/{path}",
        "classificationAnnotation": {"displayName": label},
        "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "training"},
    }


def lines(objects):
    return "".join(json.dumps(value) + "\n" for value in objects)


FORMATS = {  # name of the file, and its text for {path: class}
    "path and label": ("a.csv", lambda rows: csv_of([("path", "label"), *rows.items()])),
    "label and path with blanks": (
        "a.csv",
        lambda rows: csv_of([("label", " path"), *((b, f" {a}") for a, b in rows.items())]),
    ),
    "quotes after blanks": (
        "a.csv",
        lambda rows: csv_of([("label", " path"), *((b, f' "{a}"') for a, b in rows.items())]),
    ),
    "names with capitals": ("a.csv", lambda rows: csv_of([("File Name", "CLASS"), *rows.items()])),
    "plural names": (
        "a.csv",
        lambda rows: csv_of([("class id", "filepaths", "labels"), *((0, a, b) for a, b in rows.items())]),
    ),
    "an unknown class column": ("a.csv", lambda rows: csv_of([("id", "has_cactus"), *rows.items()])),
    "an unknown path column": (
        "a.csv",
        lambda rows: csv_of([("x", "y", "label"), *((a, 1, b) for a, b in rows.items())]),
    ),
    "a column of numbers": (
        "a.csv",
        lambda rows: csv_of([("", "image", "class"), *((i, *r) for i, r in enumerate(rows.items()))]),
    ),
    "Hugging Face CSV": ("metadata.csv", lambda rows: csv_of([("file_name", "label"), *rows.items()])),
    "Hugging Face JSON lines": (
        "metadata.jsonl",
        lambda rows: lines({"file_name": a, "label": b} for a, b in rows.items()),
    ),
    "class and class name": (
        "a.csv",
        lambda rows: csv_of([("filename", "class", "class_name"), *((a, len(b), b) for a, b in rows.items())]),
    ),
    "one column a class": (
        "_classes.csv",
        lambda rows: csv_of(
            [("filename", " cats", " dogs"), *((a, int(b == "cats"), int(b == "dogs")) for a, b in rows.items())]
        ),
    ),
    "one column a class, decimal": (
        "truth.csv",
        lambda rows: csv_of(
            [("image", "cats", "dogs"), *((a, float(b == "cats"), float(b == "dogs")) for a, b in rows.items())]
        ),
    ),
    "Label Studio CSV": (
        "export.csv",
        lambda rows: csv_of(
            [("image", "id", "choice", "annotator"), *((a, i, b, 1) for i, (a, b) in enumerate(rows.items()))]
        ),
    ),
    "Label Studio JSON": ("export.json", lambda rows: json.dumps([task(a, b) for a, b in rows.items()])),
    "Label Studio JSON-MIN": (
        "export.json",
        lambda rows: json.dumps([{"image": a, "id": 1, "choice": b} for a, b in rows.items()]),
    ),
    "COCO": ("annotations.json", lambda rows: json.dumps(coco(rows))),
    "a JSON object": ("labels.json", lambda rows: json.dumps(dict(rows), indent=1)),
    "a JSON list": ("labels.json", lambda rows: json.dumps([{"path": a, "label": b} for a, b in rows.items()])),
    "JSON lines called JSON": ("labels.json", lambda rows: lines({"path": a, "label": b} for a, b in rows.items())),
    "no header": ("a.csv", lambda rows: csv_of(rows.items())),
    "no header, class first": ("a.csv", lambda rows: csv_of((b, a) for a, b in rows.items())),
    "Vertex CSV": ("import.csv", lambda rows: csv_of((f"gs://bucket/data/{a}", b) for a, b in rows.items())),
    "Vertex CSV with ML_USE": (
        "import.csv",
        lambda rows: csv_of(
            (use, f"gs://bucket/data/{a}", b)
            for use, (a, b) in zip(["TRAINING", "TEST"] * 9, rows.items(), strict=False)
        ),
    ),
    "Vertex JSON lines": ("import.jsonl", lambda rows: lines(vertex_line(*row) for row in rows.items())),
    "Excel": ("a.csv", lambda rows: "\ufeffsep=;\r\n" + csv_of([("path", "label"), *rows.items()], ";", "\r\n")),
    "Excel, delimiters at the ends": (
        "a.csv",
        lambda rows: csv_of([("path", "label", "", ""), *((*r, "", "") for r in rows.items())], ";") + ";;;\n",
    ),
}
CODINGS = {"UTF-8": "utf-8", "UTF-8 with a mark": "utf-8-sig", "UTF-16": "utf-16"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("container", "how"), [("folder", "found"), ("folder", "given"), ("zip", "found"), ("tar.gz", "found")]
)
def test_each_format_gives_the_same_labels(tmp_path, kind, container, how):
    name, write = FORMATS[kind]
    root = trees.pack(tmp_path, container, {**trees.contents(*FLAT), name: write(FLAT).encode()})
    listing = listed(f"{root}/{name}" if how == "given" else root)
    assert labels_of(listing) == FLAT
    assert (listing.layout, {source.problem for source in listing.sources}) == ("manifest", {""})
    assert all(source.declared for source in listing.sources)
    assert listing.ignored == ([(name, "manifest")] if how == "found" else [])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_codings(tmp_path, delimiter, coding):
    rows = {f"{name}é, 1.jpg" if delimiter != "," else f"{name}é.jpg": f"{label}ü" for name, label in FLAT.items()}
    text = csv_of([("path", "label"), *rows.items()], delimiter)
    root = trees.pack(tmp_path, "folder", {**trees.contents(*rows), "labels.csv": text.encode(CODINGS[coding])})
    assert labels_of(listed(root)) == rows


STYLES = {  # how a table may write the path of images/cats/1.jpg
    "as it is": lambda name: f"images/{name}",
    "below a folder": lambda name: name,
    "its name alone": lambda name: name.rpartition("/")[2],
    "with a dot": lambda name: f"./images/{name}",
    "backslashes": lambda name: f"images/{name}".replace("/", "\\"),
    "a drive": lambda name: f"C:\\Users\\me\\data\\images\\{name}".replace("/", "\\"),
    "a drive and slashes": lambda name: f"D:/data/{name}",
    "another machine": lambda name: f"/home/me/data/{name}",
    "another machine, as a URL": lambda name: f"file:///home/me/my%20data/{name}",
    "a bucket": lambda name: f"gs://bucket/data/{name}",
    "a page": lambda name: f"https://example.org/{name}",
    "Kaggle": lambda name: f"/kaggle/input/pets/images/{name}",
    "other case": lambda name: f"Images/{name}".upper(),
    "no suffix": lambda name: f"images/{name}".rpartition(".")[0],
    "the name without a suffix": lambda name: name.rpartition("/")[2].rpartition(".")[0],
    "Label Studio's upload": lambda name: f"/data/upload/1/0a1b2c3d-{name.rpartition('/')[2]}",
    "Label Studio's folder": lambda name: f"/data/local-files/?d=data/images/{name.replace('/', '%2F')}",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "kind", ["Hugging Face CSV", "Hugging Face JSON lines", "one column a class", "COCO", "Label Studio JSON"]
)
@pytest.mark.parametrize("container", ["folder", "zip"])
def test_each_way_to_write_a_path(tmp_path, kind, style, container):
    name, write = FORMATS[kind]
    text = write({STYLES[style](image): label for image, label in IMAGES.items()})
    files = {**trees.contents(*(f"images/{image}" for image in IMAGES)), name: text.encode()}
    root = trees.pack(tmp_path, container, files)
    expected = {f"images/{image}": label for image, label in IMAGES.items()}
    assert labels_of(listed(root, layout="manifest")) == expected
    if container == "folder":
        assert labels_of(listed(f"{root}/{name}")) == expected
