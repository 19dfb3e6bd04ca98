"""Other shapes of the same data, for software that already speaks another protocol; each thin over ``registry``."""
