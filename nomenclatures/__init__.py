"""The shipped data: nomenclatures with their releases, and crosswalks by organisation; read by registry.shipped."""
