"""User code of the plain TFX pipeline: `preprocessing_fn` and `run_fn`, in one file as TFX packages it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Decodes, resizes and scales to -1..1, as float32."""
    size = custom_config["image_size"]

    def decode(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(image[0], channels=3, expand_animations=False)
        return tf.image.resize(pixels, [size, size])

    pixels = tf.map_fn(decode, inputs["image"], fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32))
    return {"image_xf": pixels / 127.5 - 1.0, "label_xf": inputs["label"]}


def run_fn(fn_args: Any) -> None:
    """Trains the network on the transformed images and exports it with a signature for tf.Examples."""
    import keras

    options = fn_args.custom_config
    keras.utils.set_random_seed(options["seed"])
    transform = tft.TFTransformOutput(fn_args.transform_output)

    def read(files: list[str]) -> tf.data.Dataset:
        parsed = fn_args.data_accessor.tf_dataset_factory(
            files,
            tfxio.TensorFlowDatasetOptions(batch_size=options["batch_size"], label_key="label_xf"),
            transform.transformed_metadata.schema,
        )
        return parsed.map(lambda inputs, label: (inputs["image_xf"], label)).prefetch(tf.data.AUTOTUNE)

    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        model = make_model(options)
    model.fit(
        read(fn_args.train_files),
        epochs=options["epochs"],
        steps_per_epoch=-(-options["train_examples"] // options["batch_size"]),
        validation_data=read(fn_args.eval_files),
        validation_steps=-(-options["eval_examples"] // options["batch_size"]),
        verbose=0,
    )
    export(model, transform, fn_args.serving_model_dir)


def make_model(options: dict[str, Any]) -> Any:
    """The tutorial's network on pixels in -1..1, with a softmax."""
    import keras

    shape = (options["image_size"], options["image_size"], 3)
    backbone = keras.applications.MobileNetV2(
        input_shape=shape, alpha=options["alpha"], include_top=False, weights=None
    )
    backbone.load_weights(options["weights"])
    backbone.trainable = False
    inputs = keras.Input(shape, name="image_xf")
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs, training=False))
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(options["classes"], activation="softmax")(x))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def export(model: Any, transform: tft.TFTransformOutput, path: str) -> None:
    """A SavedModel whose signature parses tf.Examples and runs the transform graph first."""

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.layer = model, transform.transform_features_layer()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            features = transform.raw_feature_spec()
            features.pop("label")
            parsed = tf.io.parse_example(examples, features)
            return {"probabilities": self.model(self.layer(parsed)["image_xf"], training=False)}

    served = Served()
    tf.saved_model.save(served, path, signatures={"serving_default": served.serve})
