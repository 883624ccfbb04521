package lint

import (
	"slices"
	"strings"

	"corbie/munin"
)

// Attributes are the words that may begin a line about a graph, and those that may stand after the dot in one about a field.
func Attributes() (graph, field []string) { return graphAttributes(), fieldAttributes() }

// graphAttributes are the words that may begin a line about a graph.
func graphAttributes() []string {
	return []string{
		"graph", "graph_args", "graph_args_after", "graph_category", "graph_data_size", "graph_future", "graph_height",
		"graph_info", "graph_noscale", "graph_order", "graph_period", "graph_printf", "graph_scale", "graph_sources",
		"graph_sums", "graph_title", "graph_total", "graph_vlabel", "graph_vlabel_sum_week", "graph_vlabel_sum_year",
		"graph_vtitle", "graph_width", "create_args", "host_name", "multigraph", "update", "update_rate",
	}
}

// fieldAttributes are the words that may stand after the dot in a line about a field.
func fieldAttributes() []string {
	return []string{
		"cdef", "ceiling", "colour", "critical", "draw", "extinfo", "graph", "graph_data_size", "info", "label", "line", "max", "min",
		"negative", "oldname", "onlynullcdef", "predict", "process", "skipdraw", "stack", "sum", "trend", "type",
		"unknown_limit", "update_rate", "value", "warning",
	}
}

// rrdOptions are the long options of rrdtool graph.
func rrdOptions() []string {
	return []string{
		"allow-shrink", "alt-autoscale", "alt-autoscale-max", "alt-autoscale-min", "alt-y-grid", "base", "border", "color",
		"daemon", "disable-rrdtool-tag", "dynamic-labels", "end", "font", "font-render-mode", "font-smoothing-threshold",
		"force-rules-legend", "full-size-mode", "graph-render-mode", "grid-dash", "height", "imgformat", "imginfo",
		"interlaced", "lazy", "left-axis-format", "left-axis-formatter", "legend-direction", "legend-position",
		"logarithmic", "lower-limit", "no-gridfit", "no-legend", "no-minor", "only-graph", "pango-markup", "right-axis",
		"right-axis-format", "right-axis-formatter", "right-axis-label", "rigid", "slope-mode", "start", "step",
		"tabwidth", "title", "units", "units-exponent", "units-length", "upper-limit", "use-nan-for-all-missing-data",
		"vertical-label", "watermark", "week-fmt", "width", "x-grid", "y-grid", "zoom",
	}
}

// misnomers are words that people write for attributes of which the spelling does not remind.
func misnomers() map[string]string {
	return map[string]string{
		"color": "colour", "name": "label", "title": "label", "warn": "warning", "crit": "critical", "alert": "critical",
		"description": "info", "desc": "info", "unit": "graph_vlabel", "units": "graph_vlabel", "ylabel": "graph_vlabel",
		"vlabel": "graph_vlabel", "order": "graph_order", "category": "graph_category", "minimum": "min", "maximum": "max",
		"graph_unit": "graph_vlabel", "graph_units": "graph_vlabel", "graph_description": "graph_info", "graph_label": "graph_vlabel",
		"graph_ylabel": "graph_vlabel", "graph_name": "graph_title", "formula": "cdef", "invert": "negative", "val": "value",
	}
}

// nearest finds the word that was probably meant; empty where none is near.
func nearest(word string, known []string) string {
	lower := strings.ToLower(word)
	if meant := misnomers()[lower]; slices.Contains(known, meant) {
		return meant
	}
	const longest = 64 // bytes of a word that may be one of those that are known
	if len(word) > longest {
		return ""
	}
	best, distance := "", len(word)/3+1
	for _, candidate := range known {
		if d := munin.EditDistance(lower, candidate, distance); d < distance || d == distance && best == "" {
			best, distance = candidate, d
		}
	}
	if distance > 2 || distance*2 >= len(word) && distance > 0 {
		return ""
	}
	return best
}
