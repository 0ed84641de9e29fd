"""Settings: what a person may set by an option, a variable or the configuration file, in one table a command.

`kinds` reads single values, `table` joins the three sources, `file` reads the file and finds lines in it. `tracker`,
`get` and `helper` are the tables of these commands, `group` that of each group of machines; `every` has them all, and
`page` makes docs/settings.md of them.
"""
