"""The rules of CONTRIBUTING.md that a machine can check: counts by their names, one form of citation."""

import re

import pytest
from runs import ROOT

FILES = [*sorted((ROOT / "jaxssl").rglob("*.py")), *sorted((ROOT / "configs").rglob("*.py"))]
WRONG = {
    "a count by its name": re.compile(r"\b[Ss]o many\b"),
    "arXiv:ID, link": re.compile(r"arXiv\s+\d{4}\.\d{4,5}|arXiv:\d{4}\.\d{4,5} *\(http"),
    "arXiv:ID before its link": re.compile(r"(?<=\S)(?<!\.\d{4},)(?<!\.\d{5},)\s+https://arxiv\.org/abs/\d+"),
}


@pytest.mark.parametrize("rule", WRONG)
def test_rules_of_english(rule):
    found = [
        f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, m.start()) + 1} {m[0]}"
        for file in FILES
        for text in [file.read_text()]
        for m in WRONG[rule].finditer(text)
    ]
    assert not found, f"{rule}: {found}"
