"""The documentation: its links lead somewhere, its jobs validate, its commands exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from markdown_it import MarkdownIt

from flows.cli import app
from schemas.job import Job

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    [*REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
)
QUICKSTART = yaml.safe_load((REPOSITORY / "jobs/quickstart.yaml").read_text(encoding="utf-8"))
READERS = re.compile(r"/(NAME|other|mine)\b")
"""Files that the reader is to write."""
PLACEHOLDER = re.compile(r"[A-Z]{3,}|…|\.\.\.")


def blocks(page: Path) -> Iterator[tuple[str, int, str]]:
    """The code blocks of a page: language, line, text."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            yield token.info.strip(), (token.map or [0])[0] + 1, token.content


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page's code blocks that a reader would type."""
    for language, line, text in blocks(page):
        if language in ("", "bash", "console", "sh"):
            joined = text.replace("\\\n", " ")
            for offset, typed in enumerate(joined.splitlines()):
                yield line + offset, typed.strip().removeprefix("$ ")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    generated = {"reference/job.md", "reference/cli.md"}
    lost = [
        link
        for link in local
        if not (page.parent / link).exists()
        and str((page.parent / link).resolve().relative_to(REPOSITORY / "docs")) not in generated
    ]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_commands_take_the_options_that_pages_name(page: Path) -> None:
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="enginesmith")
    for line, typed in commands(page):
        if not typed.startswith("enginesmith ") or PLACEHOLDER.fullmatch(typed.split()[1]):
            continue
        words = shlex.split(typed.split(" | ")[0].split(" > ")[0], comments=True)[1:]
        command = root.get_command(context, words[0])  # type: ignore[attr-defined]
        assert command is not None, f"{page.name}:{line}: there is no command {words[0]}"
        if hasattr(command, "commands") and words[1:]:
            command = command.commands[words.pop(1)]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        used = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
        assert [o for o in used if o not in known] == [], f"{page.name}:{line}: {typed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_targets_and_scripts_exist(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for line, typed in commands(page):
        words = typed.split()
        if len(words) > 1 and words[0] == "make":
            assert re.search(rf"^{re.escape(words[1])}:", makefile, re.M), f"{page.name}:{line}"
        for word in words:
            if re.match(r"(benchmarks|scripts|jobs)/[\w/.-]+$", word) and not READERS.search(word):
                assert (REPOSITORY / word).exists(), f"{page.name}:{line}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_jobs_and_parts_of_jobs_validate(page: Path) -> None:
    for language, line, text in blocks(page):
        if language != "yaml":
            continue
        document = yaml.safe_load(text)
        if not isinstance(document, dict) or not set(document) & set(Job.model_fields):
            continue
        Job.model_validate(merged(document)), f"{page.name}:{line}"


def merged(part: dict[str, Any]) -> dict[str, Any]:
    """The quickstart with some sections replaced; a section's other fields keep their defaults."""
    return {**QUICKSTART, **part}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_python_in_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, line, text in blocks(page):
        if language == "python":
            exec(compile(text, f"{page.name}:{line}", "exec"), {"__name__": "page"})


def test_the_site_builds_with_no_broken_link_or_anchor(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    reference = (tmp_path / "reference/job/index.html").read_text(encoding="utf-8")
    for field in Job.model_fields:
        assert f"<code>{field}</code>" in reference
    cli = (tmp_path / "reference/cli/index.html").read_text(encoding="utf-8")
    assert "enginesmith surgery" in cli
