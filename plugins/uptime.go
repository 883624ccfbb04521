package plugins

import (
	"errors"
	"math"
	"strconv"
)

// uptime says for how many days the machine has been running.
func uptime(r *report) error {
	seconds, err := bootedFor(r)
	if err != nil {
		return err
	}
	r.graph("graph_title Uptime\ngraph_args --base 1000 -l 0\ngraph_scale no\ngraph_vlabel uptime in days\ngraph_category system")
	r.field("uptime", "label uptime\ndraw AREA")
	r.levels("uptime", "", "")
	r.number("uptime", seconds/86400, 2)
	return nil
}

// bootedFor is how many seconds ago the machine was started.
func bootedFor(r *report) (float64, error) {
	text, err := r.read("proc/uptime")
	if err != nil {
		return 0, err
	}
	word, _ := nextWord(text)
	seconds, err := strconv.ParseFloat(string(word), 64)
	if err != nil || math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds < 0 {
		return 0, errors.New("/proc/uptime does not begin with a number of seconds")
	}
	return seconds, nil
}
