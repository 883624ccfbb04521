package chart

import (
	"encoding/json"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// completer adds to the options what go-echarts has no field for.
type completer struct {
	charts.BaseConfigurationVisitor
	model *Model
	live  *Live
	theme Theme
	scale Scale
}

// VisitTooltipOpt makes the tooltip text drawn on the canvas: an HTML one would break the content security
// policy.
func (c *completer) VisitTooltipOpt(opts.Tooltip) any {
	return map[string]any{
		"trigger": "axis", "renderMode": "richText", "confine": true, "formatter": "@tooltip",
		"backgroundColor": paperColour().In(c.theme), "borderColor": axisColour().In(c.theme), "borderWidth": 1,
		"padding":     []int{6, 10},
		"textStyle":   map[string]any{"color": inkColour().In(c.theme), "fontSize": 12},
		"axisPointer": map[string]any{"type": "line", "lineStyle": map[string]any{"color": mutedColour().In(c.theme)}},
	}
}

// Visit runs last, over the whole option.
func (c *completer) Visit(option map[string]any) {
	delete(option, "title")
	delete(option, "toolbox")
	option["backgroundColor"] = "transparent"
	option["series"] = c.series(option["series"])
	option["xAxis"] = c.axis(option["xAxis"], tickValues(c.live.XTicks))
	yTicks := tickValues(c.live.YTicks)
	if c.scale.Log {
		yTicks = nil // ECharts finds the powers of ten itself
	}
	axes := c.axis(option["yAxis"], yTicks)
	if len(axes) > 0 && len(c.live.RightTicks) > 0 {
		axes = append(axes, c.rightAxis(axes[0]))
		if grids := generic(option["grid"]); len(grids) > 0 {
			grids[0]["right"] = "58"
			option["grid"] = grids
		}
	}
	option["yAxis"] = axes
}

// generic turns typed options into maps and lists that can be added to.
func generic(typed any) []map[string]any {
	b, err := json.Marshal(typed)
	if err != nil {
		return nil
	}
	var out []map[string]any
	if json.Unmarshal(b, &out) != nil {
		return nil
	}
	return out
}

// rightAxis is the second axis: as the first, with its own numbers at the same heights.
func (c *completer) rightAxis(left map[string]any) map[string]any {
	right := &c.model.limits.right
	low, high := right.at(c.scale.Low), right.at(c.scale.High)
	ticks := tickValues(c.live.RightTicks)
	return map[string]any{
		"type": left["type"], "position": "right", "min": min(low, high), "max": max(low, high), "inverse": low > high,
		"name": cut(right.label, 40), "nameLocation": "middle", "nameGap": 44,
		"axisLabel": map[string]any{"color": mutedColour().In(c.theme), "fontSize": 11, "formatter": "@right", "customValues": ticks},
		"axisLine":  map[string]any{"show": false}, "axisTick": map[string]any{"show": false}, "splitLine": map[string]any{"show": false},
		"axisPointer": map[string]any{"label": map[string]any{"show": false}},
	}
}

// axis takes the ticks from us, so that they are the same as in the server's picture: ECharts would choose
// decimal ones for base 1024, and the browser's time zone.
func (c *completer) axis(typed any, ticks []float64) []map[string]any {
	axes := generic(typed)
	for _, axis := range axes {
		label, ok := axis["axisLabel"].(map[string]any)
		if !ok {
			continue
		}
		delete(label, "showMinLabel")
		delete(label, "showMaxLabel")
		tick := map[string]any{"show": false}
		if ticks != nil {
			label["customValues"], tick["customValues"] = ticks, ticks
		}
		axis["axisTick"] = tick
		axis["axisPointer"] = map[string]any{"label": map[string]any{"show": false}}
	}
	return axes
}

func (c *completer) series(typed any) []map[string]any {
	all := generic(typed)
	for _, s := range all {
		delete(s, "data")
		s["emphasis"] = map[string]any{"disabled": true}
		s["sampling"] = "none"
		s["symbol"] = "none"
		if name, _ := s["name"].(string); name == "" {
			s["silent"] = true
			s["stackStrategy"] = "all"
		}
	}
	marks, areas := c.markSeries()
	if len(all) > 0 && len(areas) > 0 {
		all[0]["markArea"] = markArea(areas)
	}
	if lines := append(c.markLines(), marks...); len(all) > 0 && len(lines) > 0 {
		all[len(all)-1]["markLine"] = map[string]any{"silent": true, "symbol": "none", "animation": false, "data": lines}
	}
	if all == nil {
		all = []map[string]any{}
	}
	return all
}

// markLines are the levels, and zero where curves lie on both sides of it.
func (c *completer) markLines() []map[string]any {
	lines := make([]map[string]any, 0, len(c.model.Rules)+1)
	if c.scale.Low < 0 && c.scale.High > 0 {
		lines = append(lines, map[string]any{
			"yAxis":     0,
			"lineStyle": map[string]any{"color": mutedColour().In(c.theme), "type": "solid", "width": 1},
			"label":     map[string]any{"show": false},
		})
	}
	for _, rule := range c.model.Rules {
		colour := rule.Colour.In(c.theme)
		lines = append(lines, map[string]any{
			"yAxis": rule.Value, "name": cut(rule.Label, 40),
			"lineStyle": map[string]any{"color": colour, "type": "dashed", "width": 1},
			"label":     map[string]any{"color": colour, "formatter": "{b}", "position": "insideEndTop", "fontSize": 10},
		})
	}
	if at, ok := c.model.future(); ok {
		colour := mutedColour().In(c.theme)
		lines = append(lines, map[string]any{
			"xAxis": at.UnixMilli(), "name": "now", "lineStyle": map[string]any{"color": colour, "type": "dashed", "width": 1},
			"label": map[string]any{"color": colour, "formatter": "{b}", "position": "insideEndTop", "rotate": 0, "fontSize": 10},
		})
	}
	return lines
}
