package munin

import (
	"math"
	"strconv"
	"strings"
)

// Attr is an attribute of the graph as Set takes it; empty where it is not set.
func (g *Graph) Attr(name string) string {
	if text := g.text(name); text != nil {
		return *text
	}
	switch name {
	case "graph_category":
		return g.Category
	case "graph_order":
		return strings.Join(g.Order, " ")
	case "host_name":
		return g.NodeName
	case "graph_period":
		return g.Period
	case "graph_scale":
		return yesNo(!g.NoScale)
	case "graph_noscale":
		return yesNo(g.NoScale)
	case "graph":
		return yesNo(!g.Hidden)
	}
	return g.Extra[name]
}

// Attr is an attribute of the field as Set takes it; empty where it is not set.
func (f *Field) Attr(name string) string {
	if text := f.text(name); text != nil {
		return *text
	}
	switch name {
	case "type":
		return f.Type.String()
	case "draw":
		return f.Draw.String()
	case "colour":
		return f.Colour
	case "negative":
		return f.Negative
	case "graph":
		return yesNo(!f.Hidden)
	case "skipdraw":
		return yesNo(f.Hidden)
	case "min":
		return endOf(f.Bounds.Low, f.Bounds.HasLow)
	case "max":
		return endOf(f.Bounds.High, f.Bounds.HasHigh)
	case "warning":
		return levelText(f.Warning)
	case "critical":
		return levelText(f.Critical)
	case "unknown_limit":
		if f.UnknownLimit == 0 {
			return ""
		}
		return strconv.Itoa(f.UnknownLimit)
	}
	return f.Extra[name]
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func endOf(v float64, there bool) string {
	if !there || math.IsNaN(v) {
		return "U"
	}
	return formatFloat(v)
}

// levelText is a level, ":" where it is open at both ends.
func levelText(b Bounds) string {
	if b.IsZero() {
		return ":"
	}
	return b.String()
}
