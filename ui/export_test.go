package ui

import "html/template"

// Templates are the parsed pages with a value of the type that each is given.
func (s *Server) Templates() map[string]struct {
	Template *template.Template
	Model    any
} {
	out := make(map[string]struct {
		Template *template.Template
		Model    any
	})
	for name, model := range map[string]any{
		"overview": OverviewPage{}, "problems": ProblemsPage{}, "capacity": CapacityPage{}, "host": HostPage{},
		"graph": GraphPage{}, "trouble": TroublePage{}, "changes": ChangesPage{}, "search": SearchPage{}, "category": CategoryPage{},
		"across": AcrossPage{}, "inventory": InventoryPage{}, "missing": MissingPage{}, "views": ViewsPage{}, "view": ViewPage{},
		"kiosk": KioskPage{}, "keys": KeysPage{}, "login": LoginPage{}, "account": AccountPage{}, "audit": AuditPage{},
	} {
		out[name] = struct {
			Template *template.Template
			Model    any
		}{s.pages[name], model}
	}
	return out
}

// Pages are the names of all parsed pages.
func (s *Server) Pages() []string {
	var names []string
	for name := range s.pages {
		names = append(names, name)
	}
	return names
}
