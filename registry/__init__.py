"""The registry: the domain of Socle and its storage; it knows neither HTTP nor the terminal.

========================  ==========================================================================
``model``                 the nouns: concept, link, group, nomenclature, release; frozen values
``errors``                everything that can go wrong, named once
``settings``              the ``SOCLE_`` variables, read once
``changes``               the change set: compute, apply, invert, classify; the centre of the design
``rules``                 what a release must respect, one function a rule
``signing``               canonical form, manifest, hash chain; its docstring is the specification
``drafts``                preparing a release: a draft is a base release plus what changes
``publishing``            the only way in which a release comes to be
``sandbox``               the limited child process in which outside files are parsed
``crosswalks``            local codes, mappings, what must hold of them, their files
``editions``              publishing an edition of a local list and of a crosswalk
``translation``           what a code of one list is in another
``analysis``, ``search``  French analysis; the derived index, its plan and its ranking
``finding``               the search index of the releases in force
``shipped``               publishes what ``nomenclatures/`` holds, by the path that users take
``opening``               opening the registry that the settings name, and making it the first time
``doctor``                checks everything stored and derived, and mends what is derived
``formats``               one small file a family of formats, and the table of them
``store``                 every line of SQL, behind one ``Store``
``migrations``            Alembic
========================  ==========================================================================
"""
