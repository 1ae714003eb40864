"""The written policy that judges go by: a Markdown file whose version is part of every verdict."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from motherlode.errors import InputError, MissingError

COMMERCE = Path(__file__).parent / "rubrics" / "commerce.md"
FRONT = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
GRADE = re.compile(r"grade\s+([0-9]+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Rubric:
    """A policy for the grades 2 (relevant), 1 (moderately relevant), 0 (irrelevant).

    Attributes:
        name: what its front matter calls it.
        stated: the version its front matter states.
        text: Markdown without the front matter: what judges and people read.
        locale: of the shop it is for, where stated.
    """

    name: str
    stated: str
    text: str
    locale: str | None = None

    @property
    def version(self) -> str:
        """ "{stated version}-{8 hex digits over the text}": an edited text is another policy, whatever it states."""
        digest = hashlib.blake2b(self.text.encode(), digest_size=4).hexdigest()
        return f"{self.stated}-{digest}"

    @property
    def grades(self) -> dict[int, str]:
        """What each grade means: the text of its section."""
        return {int(found[1]): body for heading, body in _sections(self.text) if (found := GRADE.match(heading))}

    @classmethod
    def load(cls, path: Path | str | None = None) -> "Rubric":
        """Read and check a rubric; without a path, the one for commerce that ships with motherlode.

        The file begins with front matter ("---" lines around YAML with `name` and `version`) and has one section
        a grade, headed "Grade 2", "Grade 1", "Grade 0" (words may follow). Line ends and blanks at them do not
        count. Raises MissingError where there is no file, InputError where it is no such file.
        """
        path = Path(path) if path else COMMERCE
        try:
            raw = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise MissingError(f"There is no rubric {path}: copy {COMMERCE} there and edit it.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The rubric {path} cannot be read ({error}): it is a text file in UTF-8.") from error
        front = FRONT.match("\n".join(line.rstrip() for line in raw.splitlines()).strip() + "\n")
        if not front:
            raise InputError(f"The rubric {path} has no front matter: begin it with ---, name: ..., version: ..., ---.")
        facts = _front_matter(path, front[1])
        rubric = cls(facts["name"], facts["version"], front[2].strip() + "\n", facts.get("locale"))
        rubric._check(path)
        return rubric

    def _check(self, path: Path) -> None:
        named = [int(found[1]) for heading, _ in _sections(self.text) if (found := GRADE.match(heading))]
        for grade in (2, 1, 0):
            if named.count(grade) != 1 or not self.grades[grade]:
                raise InputError(
                    f"The rubric {path} must describe grade {grade} in one section: "
                    f'give it one heading "## Grade {grade}: ..." with text under it.'
                )
        if extra := set(named) - {0, 1, 2}:
            raise InputError(f"The rubric {path} describes grade {min(extra)}: the grades are 2, 1 and 0.")


def _front_matter(path: Path, text: str) -> dict[str, str]:
    try:
        # as text: a version 1.10 is not the number 1.1
        facts: Any = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise InputError(
            f"The front matter of the rubric {path} is no YAML: {' '.join(str(error).split())}."
        ) from error
    facts = facts if isinstance(facts, dict) else {}
    for field in ("name", "version"):
        if not isinstance(facts.get(field), str) or not facts[field].strip():
            raise InputError(f"The rubric {path} states no {field}: add '{field}: ...' between the --- lines.")
    if unknown := set(facts) - {"name", "version", "locale"}:
        raise InputError(f"The rubric {path} states '{min(unknown)}': its front matter has name, version and locale.")
    return facts


def _sections(text: str) -> list[tuple[str, str]]:
    """(heading, text under it up to the next heading) in order."""
    found = list(HEADING.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [(one[1].strip(), text[one.end() : end].strip()) for one, end in zip(found, ends, strict=True)]
