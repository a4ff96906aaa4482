"""Parts of a report beside what a scan says now, each compared by itself; `repeat` puts them together."""
