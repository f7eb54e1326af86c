"""For plugin authors: contract suites, doubles and fixtures.  Never imported when serving."""
