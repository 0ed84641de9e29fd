"""Settings: what a person may set by an option, a variable or the configuration file, in one table a command.

`kinds` reads single values, `table` joins the three sources, `file` reads the file and finds lines in it, `tracker` is
the table of `shoal tracker`, `page` makes docs/settings.md of it.
"""
