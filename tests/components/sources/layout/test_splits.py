"""What a name says of a split, in the spellings that people use."""

import unicodedata

import pytest

from components.sources.layout.splits import (
    EVAL,
    TEST,
    TRAIN,
    UNLABELLED,
    has_side,
    looks_like_split,
    read_level,
    split_kind,
)

NAMES = {
    TRAIN: "train Train TRAIN training trn seg_train train1 train-2017 images_train trainImages TrainingSet trainset"
    " TRAINset train.v2 trainval Treinamento entraînement 训练集 обучение",
    EVAL: "val valid validation val2017 Validation_Set VAL dev devset holdout hold-out Held_Out evaluation eval1"
    " validación Validação validierung 验证集 валидация",
    TEST: "test Testing test1 tst seg_test TestSet public_test PublicTest test-images testdata prueba テスト 测试集",
    UNLABELLED: "pred seg_pred unlabeled Unlabelled predictions",
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind, names in NAMES.items() for name in names.split()])
def test_a_split_is_told_by_its_name(name, kind):
    for form in ("NFC", "NFD"):
        assert split_kind(unicodedata.normalize(form, name)) == kind
    assert has_side(name)


@pytest.mark.parametrize("name", ["train_station", "test_tube", "bullet train", "trainA", "valid_ticket", "train_test"])
def test_a_name_with_more_in_it_is_no_split_but_looks_like_one(name):
    assert split_kind(name) == ""
    assert looks_like_split(name)


@pytest.mark.parametrize("name", ["fold1", "fold_2", "set 1", "Batch-3", "part1", "images", "data", "dataset2"])
def test_parts_and_holders_are_no_plain_classes(name):
    assert split_kind(name) == ""
    assert looks_like_split(name)
    assert not has_side(name)


@pytest.mark.parametrize(
    "name",
    ["cats", "strain", "trains", "contest", "latest", "interval", "n01443537", "0", "photos", "set_aside", "", "犬"],
)
def test_other_names_look_like_no_split(name):
    assert split_kind(name) == ""
    assert not looks_like_split(name)


@pytest.mark.parametrize(
    ("names", "understood"),
    [
        (["asl_alphabet_train", "asl_alphabet_test"], ["asl_alphabet_train", "asl_alphabet_test"]),
        (["mytrain", "mytest"], ["mytrain", "mytest"]),
        (["chest_train", "chest_test", "val"], ["chest_train", "chest_test", "val"]),
        (["train", "val", "cats"], ["train", "val"]),
        (["cats_train", "cats_test", "dogs_train", "dogs_test"], []),
        (["trainA", "trainB", "testA", "testB"], []),
        (["tr", "te"], ["tr", "te"]),
        (["tr", "val"], ["tr", "val"]),
        (["tr", "de", "te"], []),
        (["strain", "contest"], []),
        (["train_station", "bus_station"], []),
    ],
)
def test_what_two_splits_share_says_nothing_of_them(names, understood):
    assert sorted(read_level(names)) == sorted(understood)
