"""What motherlode raises when the fault lies in what it was given: one sentence, and what to do about it."""


class MotherlodeError(Exception):
    """Base of all expected errors; the command line prints its message alone and exits with 2."""


class InputError(MotherlodeError):
    """Bad input: the message names the file, the row and the field, and says what to do."""


class SettingError(MotherlodeError):
    """A recipe or an option holds an unknown key or a value that cannot be."""


class MissingError(MotherlodeError):
    """Something needed is not there yet (a data set, weights, an earlier stage); the message says how to get it."""
