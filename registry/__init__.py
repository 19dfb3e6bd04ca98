"""The registry: the domain of Socle and its storage; it knows neither HTTP nor the terminal.

========================  ==========================================================================
``model``                 the nouns: concept, link, release, crosswalk; frozen values
``errors``                everything that can go wrong, named once
``settings``              the ``SOCLE_`` variables, read once
``changes``               the change set: compute, apply, invert, classify; the centre of the design
``rules``                 what a release must respect, one function a rule
``signing``               canonical form, manifest, hash chain; its docstring is the specification
``drafts``                reading files into drafts; a draft is a base release plus a change set
``publishing``            the only way in which a release comes to be
``sandbox``               the limited child process in which outside files are parsed
``crosswalks``            relation algebra, editions, translation
``search``                French analysis and the derived index
``shipped``               publishes what ``nomenclatures/`` holds, by the path that users take
``doctor``                checks everything derived, and mends it
``formats``               one small file a format, and the table of them
``store``                 every line of SQL, behind one ``Store``
``migrations``            Alembic
========================  ==========================================================================
"""
