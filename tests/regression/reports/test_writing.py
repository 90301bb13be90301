"""Reports in files: whole, where they were asked for, and in GitHub's step summary."""

from __future__ import annotations

from support.example_report import example

from timeproof.regression.reports.registry import FORMATS, targets_of
from timeproof.regression.reports.writing import targets_by_default, write_reports


def test_each_goes_where_it_was_asked_for(tmp_path, monkeypatch, capfdbinary):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    report = example()
    targets = targets_of(["json:" + str(tmp_path / "deep/er/r.json"), "junit", "terminal:-"], tmp_path)
    assert write_reports(report, targets) == [tmp_path / "deep/er/r.json", tmp_path / "junit.xml"]
    assert (tmp_path / "deep/er/r.json").read_bytes() == report.to_bytes()
    assert (tmp_path / "junit.xml").read_bytes() == FORMATS["junit"].render(report)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "junit.xml"]


def test_by_default_there_is_one_of_each_form_and_the_step_summary_grows(tmp_path, monkeypatch):
    step = tmp_path / "step.md"
    step.write_bytes(b"before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    report = example()
    names = [path.name for path in write_reports(report, targets_by_default(tmp_path / "out"))]
    assert names == ["report.json", "report.html", "junit.xml", "summary.md"]
    assert step.read_bytes() == b"before\n" + (tmp_path / "out/summary.md").read_bytes()
    before = step.read_bytes()
    write_reports(report, targets_of(["json"], tmp_path / "out"))
    assert step.read_bytes() == before, "no summary was asked for"
