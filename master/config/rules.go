package config

import (
	"errors"
	"io/fs"
	"slices"
)

// rules are the files of rules that patterns name, each once. What is in them is read by who evaluates them.
func (r *reader) rules(n *node) []string {
	var files []string
	for _, pattern := range r.texts(n) {
		if r.folder == nil {
			continue
		}
		names, err := r.folder.names(pattern)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.problem(n.Line, "rules: there is no file %s", r.folder.path(pattern))
		case err != nil:
			r.problem(n.Line, "rules: %v", err)
		case len(names) == 0:
			r.warn(n.Line, "rules: no file matches %s", r.folder.path(pattern))
		}
		if err == nil {
			files = append(files, names...)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
