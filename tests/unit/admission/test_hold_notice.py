"""What `argus-tasks status` reads of why starts are held."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.admission.hold_notice import HOLDING_JSON, HoldingNotice, holding_reasons


def test_reasons_are_there_while_they_hold_and_written_rarely(tmp_path: Path) -> None:
    now = [0.0]
    notice = HoldingNotice(tmp_path, clock=lambda: now[0])
    notice.write(())
    assert holding_reasons(tmp_path) == []
    assert not (tmp_path / HOLDING_JSON).exists()
    notice.write(("CPU 93 % over 80 %", "waiting for license"))
    assert holding_reasons(tmp_path) == ["CPU 93 % over 80 %", "waiting for license"]
    notice.write(("CPU 95 % over 80 %",))
    assert holding_reasons(tmp_path)[0] == "CPU 93 % over 80 %"
    now[0] = 2.0
    notice.write(("CPU 95 % over 80 %",))
    assert holding_reasons(tmp_path) == ["CPU 95 % over 80 %"]
    now[0] = 4.0
    notice.write(())
    assert holding_reasons(tmp_path) == []
    notice.write(("waiting for license",))
    notice.end()
    assert holding_reasons(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    HoldingNotice(tmp_path / "none").write(("waiting for license",))
    (tmp_path / HOLDING_JSON).write_text("torn")
    assert holding_reasons(tmp_path) == []
