package plugins

import (
	"errors"
	"math"
	"strconv"
)

// load says how many processes were running or waiting for a processor or disk, averaged over five minutes.
func load(r *report) error {
	text, err := r.read("proc/loadavg")
	if err != nil {
		return err
	}
	_, rest := nextWord(text)
	word, _ := nextWord(rest)
	v, err := strconv.ParseFloat(string(word), 64)
	if err != nil || math.IsNaN(v) || v < 0 {
		return errors.New("/proc/loadavg has no average over five minutes")
	}
	r.graph("graph_title Load average\ngraph_args --base 1000 -l 0\ngraph_vlabel load\ngraph_scale no\n" +
		"graph_category system\ngraph_info How many processes ran, or waited for a processor or a disk.")
	r.field("load", "label load\ninfo Average over five minutes.")
	r.levels("load", "", "")
	r.number("load", v, 2)
	return nil
}
