package ui

import (
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// parseTemplates makes one template set a page: the frame with that page's parts in it.
func parseTemplates(a *assets) (map[string]*template.Template, error) {
	funcs := template.FuncMap{"asset": a.path, "sentence": sentence}
	frame, err := template.New("frame.tmpl").Funcs(funcs).ParseFS(templateFiles, "templates/frame.tmpl")
	if err != nil {
		return nil, fmt.Errorf("parse the page frame: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	pages := make(map[string]*template.Template)
	for _, name := range names {
		short := strings.TrimSuffix(path.Base(name), ".tmpl")
		if short == "frame" {
			continue
		}
		whole, err := frame.Clone()
		if err == nil {
			whole, err = whole.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parse the page %s: %w", short, err)
		}
		pages[short] = whole
	}
	return pages, nil
}
