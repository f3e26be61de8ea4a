"""The contract of what flows between the stages: names, dtypes, shapes, value ranges.

These strings stand nowhere else in the tree. This module imports no TensorFlow, TFX or Beam.
"""

# Features of the records that ImageExampleGen writes (the names of TFDS). One value an example.
IMAGE = "image/encoded"  # bytes, as in the source file: JPEG, PNG, GIF or BMP
LABEL_TEXT = "image/class/text"  # bytes, UTF-8 class name
LABEL = "image/class/label"  # int64, 0..classes-1, the index in the sorted class names
FILENAME = "image/filename"  # bytes, UTF-8 path relative to the data folder
SHA256 = "image/sha256"  # bytes, 64 lower-case hex digits of the file's content
FORMAT = "image/format"  # bytes, one of FORMATS
HEIGHT = "image/height"  # int64, pixels, of the upright picture, unless data.orientation is `ignore`
WIDTH = "image/width"  # int64, pixels
CHANNELS = "image/channels"  # int64, 1 to 4, as stored
BYTE_SIZE = "image/bytes"  # int64, length of the source file
BRIGHTNESS = "image/brightness"  # float, 0..255, mean luma of a thumbnail
CONTRAST = "image/contrast"  # float, 0..127.5, standard deviation of that luma
ASPECT_RATIO = "image/aspect_ratio"  # float, width / height

FORMATS = ("jpeg", "png", "gif", "bmp")

# What StatisticsGen looks at, with its type in the schema: all that is cheap and says something about the set.
STATISTICS_FEATURES = (
    dict.fromkeys((LABEL_TEXT, FORMAT), "BYTES")
    | dict.fromkeys((LABEL, HEIGHT, WIDTH, CHANNELS, BYTE_SIZE), "INT")
    | dict.fromkeys((BRIGHTNESS, CONTRAST, ASPECT_RATIO), "FLOAT")
)

TRAIN_SPLIT = "train"
EVAL_SPLIT = "eval"
SPLITS = (TRAIN_SPLIT, EVAL_SPLIT)

# Output of the transform graph.
PIXELS = "pixels"  # float32 [batch, height, width, 3], 0..255, RGB, resized
TARGET = "target"  # int64 [batch], the label index; absent where the input has no label

# Signatures of the exported SavedModel, their inputs and outputs.
SERVE_BYTES = "serving_default"
SERVE_EXAMPLES = "serve_examples"
EXPLAIN = "explain"
EXPLAIN_CLASS = "explain_class"  # absent from versions of an older Graft
EMBED = "embed"

INPUT_BYTES = "image_bytes"  # string [batch]
INPUT_EXAMPLES = "examples"  # string [batch], serialized tf.Example
INPUT_CLASS = "class_index"  # int64 [batch], the label index whose evidence is asked for
OUTPUT_LABEL = "label"  # string [batch]
OUTPUT_PROBABILITY = "probability"  # float32 [batch], 0..1, of the label
OUTPUT_PROBABILITIES = "probabilities"  # float32 [batch, classes], 0..1, rows sum to 1
# Both absent from versions of an older Graft:
OUTPUT_OUTLIER = "outlier"  # float32 [batch], 0..1, share of good eval images that look less typical; small: outlier
OUTPUT_KNOWN = "known"  # bool [batch], whether `outlier` is above the promised share (gates.quality.max_refused)
MAX_REFUSED = 0.05  # that share, where no option says another
OUTPUT_CAM = "cam"  # float32 [batch, h, w], 0..1, the feature map's height and width
OUTPUT_FEATURES = "features"  # float32 [batch, d], the pooled features; `serve_examples` of an older Graft lacks them

# Files inside an exported model's `assets/`.
LABELS_ASSET = "labels.txt"  # UTF-8, a class name a line, in the order of the label index
FACTS_ASSET = "graft.json"  # what the model is made of: backbone, weights' digests, sizes
OUTLIERS_FACT = "outliers"  # in it: what `outlier` is made of, `Typicality.facts`; absent from older versions
CROP_FACT = "crop_to_aspect_ratio"  # in it: whether the model sees only the middle window of the size's aspect ratio
TEMPERATURE_FACT = "temperature"  # in it: what the logits were divided by to calibrate them; absent: by nothing
READING_FACTS = {"orientation": "apply", "alpha": "white"}  # in it: how pictures are read, as in `data`; the defaults
OLD_READING = {"orientation": "ignore", "alpha": "ignore"}  # of models whose facts say nothing of it

# Files inside a pushed version, which say what data the model is made of; servers ignore this folder.
EXTRA_ASSETS = "assets.extra"
STATISTICS_ASSETS = "statistics"  # a folder in it: Split-<split>/FeatureStats.pb, as StatisticsGen writes them

# Beside the SavedModel of a pushed version; servers ignore them.
PASSPORT_FILE = "passport.json"  # where it comes from, how good it is, the digest of every other file
CARD_FILE = "MODEL_CARD.md"  # for people

# Files inside artifacts.
MANIFEST_FILE = "manifest.jsonl"  # a row a file of the source, sorted by path
LEDGER_FILE = "quarantine.jsonl"  # the rows that were rejected, with their reason
DATASET_FILE = "dataset.json"  # counts, classes, fingerprint
FINDINGS_FILE = "findings.json"  # groups of names: copies, conflicts, leakage between train and eval
PREDICTIONS_FILE = "predictions.npz"  # of the training path on a sample of the eval split: sha256, probabilities
HISTORY_FILE = "history.json"  # the head's learning curve and the Trainer's rates
EVALUATION_FILE = "metrics.json"  # what the Evaluator measured, in the names of summary.json
STATISTICS_FILE = "FeatureStats.pb"  # TFX's name, in a folder a split
ANOMALIES_FILE = "SchemaDiff.pb"  # TFX's name, in a folder a split
OUTCOMES_FILE = "images.parquet"  # of the Evaluator: what each model answered for each eval image
ANSWERS_FILE = "answers.parquet"  # of the Evaluator, then of a version: what it answered, for the next runs
FEATURES_FILE = "features.parquet"  # of the Evaluator: what the candidate's backbone made of each eval image
BASELINE_FILE = "baseline.json"  # a pushed version to compare the candidate with, or why it cannot be
CORRECTIONS_FILE = "label_errors.csv"  # beside a run's page: likely label errors, as `data.corrections` takes them
VERDICT_FILE = "verdict.json"  # why a gate said yes or no
REPORT_FILE = "report.html"  # the page that tells whether to trust the model
CONTENT_FILE = "content.json"  # what the page shows, so that a run can write it again with what it alone knows
