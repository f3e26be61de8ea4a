"""What a training runs on."""

from components.trainer.devices.hardware import describe_hardware, read_processor


def test_the_machine_is_described_without_its_name():
    found = describe_hardware()
    assert set(found) == {"processors", "processor", "memory_mb", "gpus"}
    assert found["processors"] >= 1
    assert found["memory_mb"] > 100
    assert found["processor"]


def test_the_processor_is_read_where_the_system_tells_it(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: A   Processor: 3 GHz\nmodel name\t: Another\n")
    assert read_processor(str(told)) == "A Processor: 3 GHz"
    told.write_text("processor\t: 0\n")
    assert read_processor(str(told)) == ""
    assert read_processor(str(tmp_path / "none")) == ""
