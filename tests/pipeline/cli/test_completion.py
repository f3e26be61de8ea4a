"""What bash completes: it is asked itself, with the script that `graft --show-completion` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASK = """
eval "$(graft --show-completion)"
for asked in "$@"; do
    COMP_WORDS=($asked) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    case $asked in *" ") COMP_CWORD=${#COMP_WORDS[@]}; COMP_WORDS+=("");; esac
    COMPREPLY=()
    _graft_completion graft
    echo "${COMPREPLY[@]}"
done
complete -p graft
"""
HEAVY = """
import os, sys
os.environ.update(_GRAFT_COMPLETE="complete_bash", COMP_WORDS="graft run --verif", COMP_CWORD="2")
sys.argv = ["graft"]
from pipeline.__main__ import main
try:
    main()
except SystemExit:
    pass
print(*sorted({"tensorflow", "tfx", "apache_beam", "keras", "sklearn", "scipy", "PIL"} & set(sys.modules)))
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completes_commands_options_and_values(tmp_path):
    script = tmp_path / "bin" / "graft"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom pipeline.__main__ import main\nmain()\n")
    script.chmod(0o755)
    places = {"PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    (tmp_path / "ask.sh").write_text(ASK)
    asked = ["graft chec", "graft run --verb", "graft predict --format ", "graft models ro", "graft run ph"]
    done = subprocess.run(
        ["bash", "--norc", str(tmp_path / "ask.sh"), *asked],
        env={**os.environ, **places},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    *answers, rule = done.stdout.splitlines()
    assert answers == ["check", "--verbose", "table json jsonl csv parquet", "rollback", ""], done.stderr
    assert rule == "complete -o default -F _graft_completion graft"  # where it knows nothing, bash completes files


def test_asking_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["--verify", ""], done.stderr


def test_an_address_with_a_password_does_not_disturb_the_line_that_is_typed():
    environment = {"_GRAFT_COMPLETE": "complete_bash", "COMP_WORDS": "graft run https://u:p@x --qui", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['graft']; from pipeline.__main__ import main; main()"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.stdout.split(), done.stderr) == (["--quiet"], "")
