"""The terminal face of Socle: ``socle``. A file a family of commands; what they do is in ``registry``.

========================  ==========================================================================
``main``                  the group, and the one table from an error to an exit code
``current``               the settings, the store and the release that a command works on
``output``                an answer as text or as JSON, problems and errors in words
``values``                what can stand in an argument: a day, an instant, ``N@V``, ``ORG/LIST``
``operations``            init, migrate, settings, doctor, reindex
``serving``               serve
``nomenclatures``         nomenclatures, releases
``reading``               show, history, diff, export, changes, log
``search``                search, candidates
``drafts``                draft: make, look, edit
``committee``             draft: submit, vote…; publish, withdraw-release, decisions
``working``               work
``crosswalks``            crosswalk
========================  ==========================================================================
"""
