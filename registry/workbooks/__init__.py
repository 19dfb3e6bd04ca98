"""What the limited child process reads workbooks with: XLSX, OpenDocument and the binary format of Excel 97.

``sandbox_child.py`` loads this folder by its path, and nothing in it imports anything else of ours: its files name each
other relatively, since they are not called ``registry.workbooks`` there. What a workbook is, is told by its content:
files are often named otherwise (``reading``). Rows go out as JSON, a line each: ``{"properties": {name: text}}``; then
for each visible sheet ``{"sheet": name}`` and its rows that are not empty, ``[line, [cell, …]]`` (``sheets``). A cell
is the text that an agent sees, or a list of three where it can't be read: message, value, what is accepted.

XLSX and OpenDocument are read here with expat alone, as a stream. openpyxl takes 25 s for a million cells where this
takes 9 s, of the 8 s that a request has; it drops ``x005F_`` out of texts; in the mode that keeps memory low it tells
neither merged cells nor formulas that were never computed. calamine gives an empty text for a cell in error, hides the
zeros that a format shows, and allocates whatever a file says that it needs. XLS is left to it.
"""
