"""The registry: the domain of Socle and its storage; it knows neither HTTP nor the terminal.

========================  ==========================================================================
``model``                 the nouns: concept, link, group, nomenclature, release; frozen values
``errors``                everything that can go wrong, named once
``durable``               having what was written on disk
``settings``              the ``SOCLE_`` variables, read once
``changes``               the change set: compute, apply, invert, classify; the centre of the design
``rules``                 what a release must respect, one function a rule
``signing``               canonical form, manifest, hash chain; its docstring is the specification
``keys``                  the keys that sign what is published: private ones in files, public ones in signed key sets
``verification``          the one verifier; runs by itself and is copied into archives
``archive``               a release with all that proves it, in one file
``remote``                what another registry shows to a verifier
``feed``                  what changed since, and a release made from the one before and what changed
``mirror``                the vendor's side: a verified copy of a registry in a folder, kept in step
``access``                who may do what: organisations, people, roles, tokens; the journal of it
``sessions``              signing in on the pages
``drafts``                preparing a release: a draft is a base release plus what changes
``editing``               what people change in a draft, each edit made from a state that it names
``decisions``             what is decided with a release beside its content
``merging``               two changes of one state brought together, and what clashes
``votes``                 what votes come to, by the rules of a nomenclature; pure functions
``ballots``               votes on drafts as they happen, and the public record of decisions
``impact``                who must act if a draft is published: its change set, joined to the mappings
``publishing``            the only way in which a release comes to be
``proposals``             what people ask to be changed, until a release answers
``consumers``             who pulls which release, counted by organisation, and warning them of what will break
``webhooks``              what happens, posted to those who asked for it; ``delivery`` posts where others said
``mail``                  handing a message to the mail server of the settings
``sandbox``               the limited child process in which outside files are parsed; ``workbooks`` is what it reads
                          XLSX, ODS and XLS with
``crosswalks``            local codes, mappings, what must hold of them, their files
``importing``             a department's own file, as it is: its table; ``imported_rows`` accepts or refuses its rows,
                          ``imported`` is what came of it, ``refused_rows`` the file to mend
``columns``               which column of somebody's table is what, and which word which relation
``editions``              publishing an edition of a local list and of a crosswalk
``lineage``               what became of a code from one release to another
``recoding``              data files with their codes turned into others: a row gets what ``rule`` says; ``rows``,
                          ``files``, ``csv_file``, ``csv_rows``, ``parquet_file`` (DuckDB), ``memory``, ``report``
``translation``           what a code of one list is in another: along crosswalks, lineage or both
``analysis``              French text as a search sees it: folded, cut into words, stemmed
``vocabulary``            the words of an index: corrected, completed, cut; ``everyday`` has those that people say
``planning``              a query understood: what each of its words may stand for
``postings``              which concepts hold a word, as sets of numbers; alone knows Whoosh
``indexing``              the search index on the disk
``search``                finding and ordering concepts, with reasons; suggestion
``finding``               the search indexes of the releases in force, and of others that are asked for
``candidates``            likely concepts for a local label
``shipped``               publishes what ``nomenclatures/`` holds, by the path that users take
``opening``               opening the registry that the settings name, and making it the first time
``doctor``                checks everything stored and derived, and mends what is derived
``formats``               one small file a family of formats, and the table of them
``store``                 every line of SQL, behind one ``Store``
``migrations``            Alembic
========================  ==========================================================================
"""
