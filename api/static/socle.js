// What pages gain from scripts; each is usable without.
import "./tree.js";
import "./combobox.js";
import "./copy.js";
