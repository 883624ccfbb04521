package paint_test

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// madeUpPlugins use every attribute that Debian's plugins may not.
func madeUpPlugins() map[string]string {
	three := "a.label first\nb.label second\nc.label third\n"
	f := func(lines string) string { return "graph_title Made up\ngraph_vlabel things\n" + lines }
	return map[string]string{
		"lines":      f(three + "a.draw LINE1\nb.draw LINE2\nc.draw LINE3\n"),
		"areas":      f(three + "a.draw AREA\nb.draw STACK\nc.draw STACK\n"),
		"areastack":  f(three + "a.draw AREASTACK\nb.draw AREASTACK\nc.draw AREASTACK\n"),
		"linestack":  f(three + "a.draw LINESTACK1\nb.draw LINESTACK1\nc.draw LINESTACK2\n"),
		"firststack": f(three + "a.draw STACK\nb.draw LINE2\nc.draw STACK\n"),
		"negative": "graph_title Made up\ngraph_vlabel bytes in (-) / out (+) per ${graph_period}\ngraph_order down up\ngraph_total all\n" +
			"down.label received\ndown.type DERIVE\ndown.graph no\ndown.min 0\nup.label sent\nup.type DERIVE\nup.negative down\nup.min 0\nup.cdef up,8,*\ndown.cdef down,8,*\n",
		"cdef":       f(three + "b.cdef a,b,+,2,/\nc.cdef c,UN,0,c,IF,100,GT,c,UNKN,IF\na.cdef a,900,TREND\n"),
		"cdef2":      f(three + "a.cdef a,PREV,UN,a,PREV,IF,+,2,/\nb.cdef b,c,MIN\nc.cdef c,LOG,10,LOG,/\n"),
		"hidden":     f("graph_order a -b c\n" + three + "a.cdef a,b,+\nc.skipdraw 1\nd.label fourth\nd.graph no\ne.label fifth\n"),
		"total":      f("graph_total all of it\n" + three + "a.draw AREA\nb.draw STACK\nc.draw STACK\n"),
		"minute":     f("graph_period minute\n" + "a.label per ${graph_period}\na.type DERIVE\na.min 0\nb.label gauge\n"),
		"hour":       f("graph_period hour\n" + "a.label counted\na.type ABSOLUTE\nb.label counter\nb.type COUNTER\nb.max 100000\n"),
		"noscale":    f("graph_scale no\n" + three),
		"printf":     f("graph_printf %3.0lf\n" + three),
		"base1024":   f("graph_args --base 1024 -l 0\n" + three + "a.draw AREA\n"),
		"rigid":      f("graph_args --lower-limit 0 --upper-limit 100 --rigid\na.label a\na.min 0\na.max 180\n"),
		"limits":     f("graph_args -l -50 -u 100000000\na.label a\n"),
		"log":        f("graph_args --base 1000 --logarithmic\n" + three),
		"exponent":   f("graph_args --units-exponent 3\n" + three),
		"autoscale":  f("graph_args --alt-autoscale\na.label narrow\na.min 500\na.max 520\n"),
		"narrow":     f("a.label narrow\na.min 500\na.max 520\n"),
		"colours":    f(three + "a.colour ff00ff\nb.colour 00aa88\nc.colour 123456\n"),
		"line":       f("a.label a\na.max 100\na.line 55:cc0000:limit\nb.label b\nb.max 100\nb.line 20\n"),
		"warning":    f("a.label a\na.max 100\na.warning 20:70\na.critical 10:80\n"),
		"gaps":       f("gap_a.label with gaps\ngap_a.draw AREA\ngap_b.label stacked\ngap_b.draw STACK\nc.label whole\n"),
		"sum":        f("a.label a\na.graph no\nb.label b\nb.graph no\nall.label sum of both\nall.sum h:zz_sum.a h:zz_sum.b\nall.draw AREA\n"),
		"stack":      f("all.label unseen\nall.draw AREA\nall.stack one=h:zz_sum.a two=h:zz_sum.b\n"),
		"alias":      f("graph_order other=h:zz_alias.a a\na.label a\na.draw AREA\nother.label borrowed\n"),
		"longnames":  f("a_rather_long_name_of_a_field.label long\na_rather_long_name_of_a_field.cdef a_rather_long_name_of_a_field,8,*\nb.label b: with colon\n"),
		"small":      f("a.label small\na.max 0.004\nb.label smaller\nb.max 0.0002\n"),
		"large":      f("a.label large\na.min 800000000\na.max 990000000\n"),
		"below":      f("a.label below zero\na.min -80\na.max -20\nb.label both\nb.min -50\nb.max 40\n"),
		"escaped":    f("a.label 100% <b>&amp; \"quoted\"\na.info some <i>HTML</i>\n"),
		"percent":    "graph_title CPU\ngraph_vlabel %\ngraph_args -r --upper-limit 300 -l 0\n" + three + "a.draw AREA\nb.draw STACK\nc.draw STACK\n",
		"dashes":     "graph_title Made up\ngraph_vlabel x\ngraph_args --vertical-label 'y and z' -l 0 --units=si\na.label a\n",
		"nofields20": manyFields(20),
		"clear":      f(three + "a.draw AREA\na.colour ff00ff80\nb.draw STACK\nb.colour 00aa8800\nc.colour 12345640\n"),
		"rightaxis":  f("graph_args -l 0 --right-axis 1.8:32 --right-axis-label Fahrenheit --right-axis-format %.0lf\na.label a\na.max 60\n"),
		"argsafter":  f("graph_args -l 0 -u 30\ngraph_args_after --rigid --upper-limit 50\na.label a\na.max 45\n"),
		"wide":       f("graph_width 600\ngraph_height 300\ngraph_sums yes\na.label a\na.type DERIVE\na.min 0\n"),
	}
}

func manyFields(n int) string {
	var b strings.Builder
	b.WriteString("graph_title Made up, twenty fields\ngraph_vlabel %\n")
	for i := range n {
		fmt.Fprintf(&b, "f%d.label field number %d\nf%d.draw AREASTACK\n", i, i, i)
	}
	return b.String()
}

// sheet puts Munin's pictures and ours side by side.
func sheet(t *testing.T, dir string, graphs []*sheetGraph) {
	t.Helper()
	var b strings.Builder
	b.WriteString("<!doctype html><meta charset=utf-8><title>Munin and Corbie</title><table cellpadding=6><tr><th>Munin<th>Corbie\n")
	for _, s := range graphs {
		if s.ours == "" {
			continue
		}
		fmt.Fprintf(&b, "<tr><th colspan=2 align=left>%s: %s %s\n<tr valign=top><td><img src=%q><td><img src=%q>\n", html.EscapeString(s.plugin),
			html.EscapeString(s.graph.Name), html.EscapeString(strings.Join(s.notes, "; ")), filepath.Base(s.munin), filepath.Base(s.ours))
	}
	if err := os.WriteFile(filepath.Join(dir, "sheet.html"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
