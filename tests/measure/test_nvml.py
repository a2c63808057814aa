"""What is read through NVML's real binding, from a driver that is made up: nvml_stub.c stands in
for libnvidia-ml.so.1, and nvml_world.py for the machine around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from srbench.measure import nvml, nvml_driver

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
MB = 1_000_000

compiled = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"),
    reason="needs Linux and a C compiler (cc), for a library that stands in for the driver's",
)


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that hold a libnvidia-ml.so.1: of today, of before version 3 of its lists, and a file
    that is none, which hides the one that this machine may have."""
    assert COMPILER is not None
    folders = {}
    for name, flags in {"new": [], "old": ["-DOLD"]}.items():
        folders[name] = tmp_path_factory.mktemp(name)
        library = folders[name] / "libnvidia-ml.so.1"
        source = str(HERE / "nvml_stub.c")
        subprocess.run(
            [COMPILER, "-Wall", "-shared", "-fPIC", *flags, "-o", str(library), source], check=True
        )
    folders["broken"] = tmp_path_factory.mktemp("broken")
    (folders["broken"] / "libnvidia-ml.so.1").write_text("no library", encoding="ascii")
    return folders


class Machine:
    """Runs a case in a process of its own, with one of the drivers in place of the system's."""

    def __init__(self, drivers: dict[str, Path], folder: Path) -> None:
        self._drivers, self._folder = drivers, folder

    def __call__(self, case: str, driver: str = "new", **environment: str) -> Any:
        """What the case leaves in `answer`."""
        done = subprocess.run(
            [sys.executable, str(HERE / "nvml_world.py"), dedent(case)],
            env=os.environ
            | {
                "LD_LIBRARY_PATH": str(self._drivers[driver]),
                "NVML_STUB": str(self._folder / "world"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def machine(drivers: dict[str, Path], tmp_path: Path) -> Machine:
    return Machine(drivers, tmp_path)


# ---------------------------------------------------------------- which process is this one


@compiled
@pytest.mark.parametrize("driver", ["new", "old"])
def test_nvml_process_lists_of_version_3_and_2_tell_this_process_from_several(
    machine: Machine, driver: str
) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu(), process(1, 40 * MB))
        device = opened()
        others = [process(1, 40 * MB), process(2, 300 * MB)]
        world(gpu(), others[0], process(ME, 700 * MB), others[1], process(3, 5, "GPU-bbbb"))
        answer = device.process_bytes(), device.other_processes()
        """,
        driver,
    )
    reading, others = answer
    assert (reading["value"], reading["unit"]) == (700 * MB, "B")
    assert reading["method"] == "NVML, the process with this one's pid"
    assert reading["reason"] is reading["caution"] is None
    assert others == [{"pid": 1, "bytes": 40 * MB}, {"pid": 2, "bytes": 300 * MB}]


@compiled
def test_nvml_host_pids_in_a_container_that_knows_its_own_host_pid(machine: Machine) -> None:
    answer = machine(
        """
        place(container=True, pids=f"88001 12 {ME}")
        world(gpu())
        device = opened()
        world(gpu(), process(88000, 10 * MB), process(88001, 600 * MB))
        answer = device.process_bytes(), device.other_processes()
        """
    )
    assert answer[0]["value"] == 600 * MB
    assert answer[0]["method"] == "NVML, the process with this one's pid on the host"
    assert answer[1] == [{"pid": 88000, "bytes": 10 * MB}]


@compiled
def test_nvml_host_pid_that_is_unknown_inside_is_taken_where_it_is_the_only_process(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu())
        device = opened()
        world(gpu(), process(88001, 600 * MB))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] == 600 * MB
    assert answer["method"] == "NVML, the only compute process of the device"


@compiled
def test_nvml_only_process_that_was_there_before_is_not_this_one(machine: Machine) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu(used=600 * MB), process(88001, 600 * MB))
        device = opened()
        answer = device.process_bytes(), device.other_processes()
        """
    )
    assert answer[0]["value"] is None
    assert "does not list this process" in answer[0]["reason"]
    assert answer[1] == [{"pid": 88001, "bytes": 600 * MB}]


@compiled
def test_nvml_only_process_on_the_host_is_not_this_one(machine: Machine) -> None:
    """On the host this process would be listed under its own pid."""
    answer = machine(
        """
        place(container=False)
        world(gpu(used=100 * MB))
        device = opened()
        world(gpu(used=900 * MB), process(ME + 1, 600 * MB))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] == 800 * MB
    assert answer["method"].startswith("NVML, used memory of the device")


@compiled
def test_nvml_process_of_another_container_with_the_same_pid_is_not_this_one(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu(used=300 * MB), process(ME, 300 * MB))
        device = opened()
        world(gpu(used=900 * MB), process(ME, 300 * MB), process(88001, 600 * MB))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] == 600 * MB
    assert answer["method"].startswith("NVML, used memory of the device")


@compiled
def test_nvml_process_that_holds_less_than_the_allocator_is_not_this_one(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu(used=100 * MB))
        device = opened()
        torch.cuda.reserved = 500 * MB
        world(gpu(used=700 * MB), process(ME, 20 * MB))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] == 600 * MB
    assert answer["method"].startswith("NVML, used memory of the device")


@compiled
def test_nvml_several_host_pids_and_none_known_gives_the_devices_memory_with_a_caution(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu(used=200 * MB), process(88000, 150 * MB))
        device = opened()
        world(gpu(used=900 * MB), process(88000, 150 * MB), process(88001, 650 * MB))
        answer = device.process_bytes(), device.other_processes()
        """
    )
    assert answer[0]["value"] == 700 * MB
    assert answer[0]["method"] == "NVML, used memory of the device above the level before"
    assert "that of the whole device" in answer[0]["caution"]
    assert answer[1] == {"reason": "NVML does not list this process under a pid it knows"}


@compiled
def test_nvml_once_found_the_process_stays_the_same(machine: Machine) -> None:
    answer = machine(
        """
        place(container=True)
        world(gpu())
        device = opened()
        world(gpu(), process(88001, 600 * MB))
        first = device.process_bytes()
        world(gpu(), process(88001, 650 * MB), process(88002, 10 * MB))
        answer = first.value, device.process_bytes()
        """
    )
    assert answer[0] == 600 * MB
    assert answer[1]["value"] == 650 * MB
    assert answer[1]["method"] == "NVML, the only compute process of the device"


# ---------------------------------------------------------------- what is not told


@compiled
def test_nvml_value_not_available_for_a_process_gives_the_devices_memory(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu(used=100 * MB))
        device = opened()
        world(gpu(used=400 * MB), process(ME, "na"))
        answer = device.process_bytes(), device.other_processes()
        """
    )
    assert answer[0]["value"] == 300 * MB
    assert answer[0]["method"].startswith("NVML, used memory of the device")
    assert "does not tell the memory of a process" in answer[0]["caution"]
    assert answer[1] == []


@compiled
def test_nvml_value_not_available_and_no_level_from_before_is_none_and_never_0(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=False)
        torch.cuda.initialised = True
        world(gpu(used=400 * MB), process(ME, "na"))
        answer = opened().process_bytes()
        """
    )
    assert answer["value"] is None
    assert answer["reason"] == (
        "the driver does not tell the memory of a process, and the device's level from before "
        "CUDA was first used is not known"
    )


@compiled
def test_nvml_permission_denied_for_the_processes_gives_the_devices_memory(
    machine: Machine,
) -> None:
    answer = machine(
        """
        place(container=False)
        denied = fail("nvmlDeviceGetComputeRunningProcesses", 4)
        world(gpu(used=100 * MB), denied)
        device = opened()
        world(gpu(used=400 * MB), denied)
        answer = device.process_bytes(), device.other_processes()
        """
    )
    assert answer[0]["value"] == 300 * MB
    assert "no permission" in answer[0]["caution"]
    assert answer[1] == {"reason": "NVML refuses it: no permission"}


@compiled
def test_nvml_permission_denied_for_everything_is_none_with_both_reasons(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu())
        device = opened()
        world(gpu(), fail("nvmlDeviceGet", 4))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] is None
    assert answer["reason"] == (
        "the processes are not told (NVML refuses it: no permission), and the device's memory is "
        "not told either (NVML refuses it: no permission)"
    )


@compiled
def test_nvml_gpu_lost_on_the_way_makes_every_number_none(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu(), process(ME, 9 * MB))
        torch.cuda.initialised = True
        device = opened()
        before = device.process_bytes()
        world(gpu(), fail("nvmlDevice", 15))
        answer = (
            before, device.process_bytes(), device.total_energy_joules(), device.throttling(),
            device.other_processes(),
        )
        """
    )
    before, after, energy, throttling, others = answer
    lost = "the GPU is lost: it no longer answers its driver"
    assert before["value"] == 9 * MB
    assert after["value"] is energy["value"] is None
    assert lost in after["reason"]
    assert energy["reason"] == lost
    assert throttling == others == {"reason": lost}


@compiled
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, "the NVIDIA driver is not loaded"),
        (4, "NVML refuses it: no permission"),
        (18, "NVML and the loaded driver are of two versions"),
        (999, "NVML answers: Unknown Error"),
    ],
    ids=["driver not loaded", "permission denied", "two versions", "unknown error"],
)
def test_nvml_that_does_not_start_is_a_reason(machine: Machine, code: int, reason: str) -> None:
    answer = machine(
        f"""
        world(gpu(), fail("nvmlInit", {code}))
        answer = open_nvml("cuda"), inventory()
        """
    )
    assert answer == [{"reason": reason}, {"reason": reason}]


@compiled
def test_nvml_library_that_cannot_be_loaded_is_a_reason(machine: Machine) -> None:
    answer = machine(
        """
        answer = open_nvml("cuda"), inventory()
        """,
        driver="broken",
    )
    assert answer == [{"reason": "no NVIDIA driver is installed (NVML is not there)"}] * 2


@compiled
def test_nvml_code_that_the_binding_does_not_know_has_the_librarys_words(
    machine: Machine,
) -> None:
    answer = machine(
        """
        world(gpu(), fail("nvmlInit", 77))
        answer = open_nvml("cuda")
        """
    )
    assert answer == {"reason": "NVML answers: an error of the stub"}


# ---------------------------------------------------------------- which device is torch's


@compiled
def test_nvml_device_is_found_by_uuid_among_several(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        other = gpu("GPU-bbbb", used=7 * MB)
        world(other, gpu(used=100 * MB))
        device = opened()
        world(other, gpu(used=160 * MB), process(ME, 50 * MB), process(ME, 1, "GPU-bbbb"))
        answer = device.process_bytes(), inventory()
        """
    )
    assert answer[0]["value"] == 50 * MB
    assert answer[1] == {"driver": "550.54.15", "names": ["Stub 1", "Stub 2"]}


@compiled
def test_nvml_device_is_found_by_its_place_on_the_bus(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        torch.cuda.properties = SimpleNamespace(pci_domain_id=0, pci_bus_id=0xC1, pci_device_id=0)
        other = gpu("GPU-bbbb", bus="00000000:01:00.0")
        world(other, gpu(bus="00000000:C1:00.0"))
        device = opened()
        world(other, gpu(bus="00000000:C1:00.0"), process(ME, 50 * MB))
        answer = device.process_bytes()
        """
    )
    assert answer["value"] == 50 * MB


@compiled
def test_nvml_device_that_torch_does_not_identify_is_the_only_one_or_unknown(
    machine: Machine,
) -> None:
    answer = machine(
        """
        torch.cuda.properties = SimpleNamespace()
        world(gpu())
        found = opened().driver()
        world(gpu(), gpu("GPU-bbbb"))
        answer = found, open_nvml("cuda")
        """
    )
    assert answer[0] == "550.54.15"
    assert answer[1] == {"reason": "which of NVML's 2 devices is torch's is not known"}


@compiled
def test_nvml_without_a_cuda_device_of_torchs_is_a_reason(machine: Machine) -> None:
    answer = machine(
        """
        torch.cuda.properties = None
        world(gpu())
        answer = open_nvml("cuda")
        """
    )
    assert answer == {"reason": "torch has no such CUDA device"}


# ---------------------------------------------------------------- MIG

SPLIT = """
place(container=False)
split = gpu(used=5000 * MB, mig=1, bits=0x20, millijoules=5000)
first, second = mig("MIG-1111", 100 * MB), mig("MIG-2222", 30 * MB)
world(split, first, second, process(1, 60 * MB, "MIG-1111"))
"""


@compiled
@pytest.mark.parametrize("how", ["torch's uuid", "CUDA_VISIBLE_DEVICES"])
def test_nvml_mig_instance_is_measured_and_not_the_whole_gpu(machine: Machine, how: str) -> None:
    """The energy counter is the GPU's, so it is not told; its heat slows the instance down too."""
    uuid, environment = ("2222", {}) if how == "torch's uuid" else ("aaaa", {})
    if how == "CUDA_VISIBLE_DEVICES":
        environment = {"CUDA_VISIBLE_DEVICES": "MIG-2222,MIG-1111"}
    answer = machine(
        SPLIT
        + dedent(
            f"""
            torch.cuda.properties = SimpleNamespace(uuid="{uuid}")
            device = opened()
            world(split, first, second, process(1, 60 * MB, "MIG-1111"),
                  process(ME, 20 * MB, "MIG-2222"))
            answer = (device.is_mig, device.process_bytes(), device.other_processes(),
                      device.total_energy_joules(), device.throttling())
            """
        ),
        **environment,
    )
    is_mig, reading, others, energy, throttling = answer
    assert is_mig is True
    assert reading["value"] == 20 * MB
    assert others == []
    assert energy["value"] is None
    assert "other MIG instances" in energy["reason"]
    assert throttling == ["heat (the driver lowers the clock)"]


@compiled
def test_nvml_mig_level_is_that_of_the_instance(machine: Machine) -> None:
    answer = machine(
        SPLIT
        + dedent(
            """
            torch.cuda.properties = SimpleNamespace(uuid="2222")
            device = opened()
            world(split, first, mig("MIG-2222", 90 * MB), process(ME, "na", "MIG-2222"))
            answer = device.process_bytes()
            """
        )
    )
    assert answer["value"] == 60 * MB


@compiled
def test_nvml_mig_instance_that_is_not_named_is_the_only_one_or_unknown(machine: Machine) -> None:
    answer = machine(
        SPLIT
        + dedent(
            """
            unclear = open_nvml("cuda")
            world(split, first)
            answer = unclear, opened().is_mig
            """
        )
    )
    assert answer[0]["reason"] == (
        "which of the GPU's 2 MIG instances is torch's is not known: name it in "
        "CUDA_VISIBLE_DEVICES"
    )
    assert answer[1] is True


# ---------------------------------------------------------------- energy, clock, driver


@compiled
def test_nvml_energy_counter_is_in_joules(machine: Machine) -> None:
    answer = machine(
        """
        world(gpu(millijoules=12345))
        device = opened()
        first = device.total_energy_joules()
        world(gpu(), fail("nvmlDeviceGetTotalEnergyConsumption", 3))
        answer = first, device.total_energy_joules()
        """
    )
    assert (answer[0]["value"], answer[0]["unit"]) == (12.345, "J")
    assert answer[1]["value"] is None
    assert answer[1]["reason"] == "NVML does not support it on this device"


@compiled
@pytest.mark.parametrize("driver", ["new", "old"])
def test_nvml_throttle_reasons_in_words(machine: Machine, driver: str) -> None:
    answer = machine(
        """
        answer = []
        for bits in (0x0, 0x1 | 0x2 | 0x100, 0x4, 0x8 | 0x40):
            world(gpu(bits=bits))
            device = opened()
            answer.append(device.throttling())
        """,
        driver,
    )
    assert answer == [
        [],
        [],
        ["the power limit"],
        ["a hardware slowdown (heat or power)", "heat (the hardware lowers the clock)"],
    ]


@compiled
def test_nvml_graphics_processes_are_others_too(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu())
        device = opened()
        world(gpu(), process(50, 3 * MB, kind="graphics"), process(ME, 9 * MB),
              process(ME, 9 * MB, kind="graphics"))
        answer = device.other_processes(), device.process_bytes()
        """
    )
    assert answer[0] == [{"pid": 50, "bytes": 3 * MB}]
    assert answer[1]["value"] == 9 * MB


@compiled
def test_nvml_context_is_what_is_there_after_one_kernel(machine: Machine) -> None:
    answer = machine(
        """
        place(container=False)
        world(gpu())
        device = opened()
        world(gpu(), process(ME, 412 * MB))
        answer = nvml_context(device), torch.cuda.calls
        """
    )
    assert answer[0]["value"] == 412 * MB
    assert answer[1] == ["zeros(1)", "synchronize", "empty_cache"]


# ---------------------------------------------------------------- the sampler


@compiled
def test_nvml_sampler_sees_a_peak_within_the_block(machine: Machine) -> None:
    answer = machine(
        """
        import time
        place(container=False)
        world(gpu())
        device = opened()
        world(gpu(), process(ME, 100 * MB))
        with Sampler(device, interval=0.001) as sampler:
            looks = sampler._looks
            world(gpu(), process(ME, 300 * MB))
            while sampler._looks < looks + 3:
                time.sleep(0.001)
            world(gpu(), process(ME, 200 * MB))
        answer = sampler.reading(), sampler._looks
        """
    )
    reading, looks = answer
    assert reading["value"] == 300 * MB
    assert reading["method"] == (
        f"NVML, the process with this one's pid; peak of {looks} looks, 1 ms apart"
    )


class Answers:
    """Stands in for Nvml: what it tells at each look; the last answer stays."""

    def __init__(self, *answers: nvml.Reading) -> None:
        self._answers = list(answers)

    def process_bytes(self) -> nvml.Reading:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def told(value: float, method: str = nvml.OWN_PID) -> nvml.Reading:
    return nvml.Reading(value, "B", method)


def failed(reason: str) -> nvml.Reading:
    return nvml.Reading(None, "B", nvml.DEVICE_DELTA, reason)


def sampled(*answers: nvml.Reading) -> nvml.Reading:
    """Two looks, one at each end: the thread's own never come."""
    sampler = nvml.Sampler(Answers(*answers), interval=1000)  # type: ignore[arg-type]
    with sampler:
        pass
    return sampler.reading()


def test_nvml_sampler_looks_at_both_ends() -> None:
    assert sampled(told(3), told(7)).value == 7
    assert sampled(told(7), told(3)).value == 7


def test_nvml_sampler_before_the_context_is_there_is_no_failure() -> None:
    assert sampled(failed("the device holds no more"), told(7)).value == 7


def test_nvml_sampler_that_fails_on_the_way_tells_no_peak() -> None:
    reading = sampled(told(7), failed("the GPU is lost"))
    assert reading.value is None
    assert reading.reason == "it failed on the way: the GPU is lost"


def test_nvml_sampler_does_not_mix_what_was_had_in_two_ways() -> None:
    assert sampled(told(900, nvml.DEVICE_DELTA), told(7)).value == 7


def test_nvml_sampler_that_never_began_knows_nothing() -> None:
    sampler = nvml.Sampler(Answers(told(1)))  # type: ignore[arg-type]
    assert sampler.reading().reason == "the block has not begun"


def test_nvml_sampler_gives_up_a_driver_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    asked, go_on = threading.Event(), threading.Event()

    class Silent(Answers):
        def process_bytes(self) -> nvml.Reading:
            if threading.current_thread() is not threading.main_thread():
                asked.set()
                go_on.wait(60)
            return told(5)

    monkeypatch.setattr(nvml, "_PATIENCE", 0.01)
    sampler = nvml.Sampler(Silent(told(5)), interval=0)  # type: ignore[arg-type]
    with sampler:
        assert asked.wait(60)
    go_on.set()
    assert sampler.reading().reason == "NVML did not answer"


def test_nvml_sampler_whose_thread_fails_tells_no_peak() -> None:
    import threading

    asked = threading.Event()

    class Broken(Answers):
        def process_bytes(self) -> nvml.Reading:
            if threading.current_thread() is not threading.main_thread():
                asked.set()
                raise ZeroDivisionError
            return told(5)

    sampler = nvml.Sampler(Broken(told(5)), interval=0)  # type: ignore[arg-type]
    with sampler:
        assert asked.wait(60)
    reading = sampler.reading()
    assert (reading.value, reading.reason) == (None, "the sampler failed: ZeroDivisionError")


# ---------------------------------------------------------------- without a stub


def test_nvml_reading_becomes_a_measurement() -> None:
    measured = told(5).measurement("memory.inference.nvml_process")
    assert (measured.value, measured.unit, measured.method) == (5, "B", nvml.OWN_PID)
    unknown = failed("why").measurement("memory.inference.nvml_process")
    assert (unknown.value, unknown.reason) == (None, "why")


def test_nvml_lists_fall_back_to_version_2_where_the_binding_has_no_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fake binding of machines without a compiler."""

    class Listed:
        pid, usedGpuMemory = 7, None

    pynvml = nvml_driver.pynvml
    monkeypatch.delattr(pynvml, "nvmlDeviceGetComputeRunningProcesses_v3")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses_v2", lambda _: [Listed()])
    assert nvml_driver.compute_processes(None) == [nvml_driver.GpuProcess(7, None)]


def test_nvml_of_this_process_where_the_system_tells_no_pids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nvml, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(nvml, "_PID_NAMESPACE", tmp_path / "none")
    assert nvml._pids_in_other_namespaces() == []
    assert nvml._in_container() is True


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nvml_on_a_gpu_sees_what_the_allocator_reserves() -> None:
    """The process holds the context and what torch reserves, and nothing else of note."""
    program = """
import json, time, torch
from srbench.measure.nvml import Sampler, nvml_context, open_nvml
with open_nvml("cuda") as device:
    context = nvml_context(device)
    with Sampler(device) as sampler:
        held = torch.ones(500 * 2**20, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        reserved = torch.cuda.memory_reserved()
        time.sleep(0.2)  # long enough for a look
        del held
        torch.cuda.empty_cache()
    peak = sampler.reading()
print(json.dumps([context.value, peak.value, reserved, peak.method, peak.reason]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    context, peak, reserved, method, reason = json.loads(done.stdout)
    assert reason is None
    assert 50 * MB < context < 2000 * MB, method
    assert peak - context == pytest.approx(reserved, rel=0.05), method
