package ui

import (
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// rangeBar is what the bar of times of a page shows.
type rangeBar struct {
	Periods []RangeLink
	Range   string
}

// problemOn is a problem with the page that it stands on.
type problemOn struct {
	Problem Problem
	Page    ProblemsPage
}

// parseTemplates makes one template set a page: the frame with that page's parts in it.
func parseTemplates(a *assets) (map[string]*template.Template, error) {
	funcs := template.FuncMap{
		"asset": a.path, "sentence": sentence,
		"viewname":  func(url string) string { return strings.TrimPrefix(url, "/v/") },
		"inc":       func(n int) int { return n + 1 },
		"bar":       func(periods []RangeLink, words string) rangeBar { return rangeBar{periods, words} },
		"with_page": func(p Problem, page ProblemsPage) problemOn { return problemOn{p, page} },
	}
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
