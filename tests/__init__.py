"""The tests: a package, so that they import each other by one name however they are started."""
