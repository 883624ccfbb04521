package alerts

import (
	"context"

	"corbie/munin"
)

// Notice is one change of a problem, with all that a message about it says.
type Notice struct {
	State munin.AlertState // after the change
	Event Event            // None when the state is only told again after a start
	From  munin.Level      // level of the problem before the change; OK when there was none
	Graph About
	Query *Query // what a rule in PromQL says of it; nil for a level
	// Renamed says that nothing but a name changed: the problem is over under the old one, or goes on under the new one.
	Renamed bool
}

// Query is what a rule in PromQL says of an alert. Its texts are data, limited where they were made.
type Query struct {
	Name                string // of the alert
	Labels, Annotations map[string]string
}

// About is what a message says of the graph and field that a problem is on. All of its texts come from a plugin
// or a node, so they are data: limited where they were parsed, to be escaped where they are shown. It is empty
// for a problem of a whole host, and has but names when the field is not described any more.
type About struct {
	Title    string // of the graph
	Category string
	Unit     string // of the values
	Base     int    // 1000 or 1024
	NoScale  bool   // values have no SI prefixes
	Info     string // of the graph
	Label    string // of the field
	// FieldInfo and ExtInfo are the field's info and extinfo attributes.
	FieldInfo, ExtInfo string
	Warning, Critical  munin.Bounds
}

// Teller is a consumer contract of the Evaluator. It models the delivery of notices to receivers: Tell takes
// them over in memory and returns soon. Being told the same state twice must not tell anybody twice.
type Teller interface {
	Tell(ctx context.Context, notices []Notice) error
}

// about describes a field of a graph; g may be nil when it is not known any more.
func about(id munin.SeriesID, g *munin.Graph) About {
	if id.Graph == "" {
		return About{}
	}
	a := About{Title: id.Graph, Label: id.Field, Base: 1000}
	if g == nil {
		return a
	}
	a.Title, a.Category, a.Unit, a.Info = g.Title, g.Category, g.Unit(), g.Info
	a.Base, a.NoScale = g.Base(), g.NoScale
	if f, ok := g.Field(id.Field); ok {
		a.Label, a.FieldInfo, a.ExtInfo = f.Label, f.Info, f.ExtInfo
		a.Warning, a.Critical = f.Warning, f.Critical
	}
	return a
}
