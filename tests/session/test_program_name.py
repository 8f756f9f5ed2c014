# SPDX-License-Identifier: Apache-2.0
import pytest

from gpushare.session.program_name import program_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("./train --lr 1", "train"),
        ("/usr/bin/python3.12 -u jobs/train.py --data x.bin", "train.py"),
        ("python -m pkg.train --x", "pkg.train"),
        ("torchrun --nproc-per-node 2 train.py", "train.py"),
        ("python -X importtime train.py", "train.py"),
        ("bash run.sh", "run.sh"),
        ("python -c pass.py", "python"),
        ("python", "python"),
        ("python -", "python"),
        ("sh -c ./x.sh", "sh"),
    ],
)
def test_a_program_is_called_by_its_script(command, name):
    assert program_name(command.split()) == name
