package uitest

import (
	_ "embed" // for what the plugins say
	"strings"
)

// profile says how a made-up field moves.
type profile struct {
	level, swing, noise, spike float64
	growth                     float64 // a day
}

func profiles() map[string]profile {
	const mebi, gibi = 1 << 20, 1 << 30
	return map[string]profile{
		"system":     {level: 22, swing: 0.6, noise: 0.3, spike: 0.8},
		"user":       {level: 120, swing: 0.8, noise: 0.4, spike: 0.5},
		"nice":       {level: 4, swing: 0.4, noise: 1},
		"idle":       {level: 210, swing: 0.1, noise: 0.1},
		"iowait":     {level: 12, swing: 0.4, noise: 1, spike: 4},
		"steal":      {level: 1, noise: 1},
		"load":       {level: 1.4, swing: 0.7, noise: 0.5, spike: 1.5},
		"apps":       {level: 3.1 * gibi, swing: 0.2, noise: 0.04},
		"buffers":    {level: 300 * mebi, swing: 0.1, noise: 0.02},
		"cached":     {level: 2.6 * gibi, swing: 0.1, noise: 0.02},
		"free":       {level: 1.2 * gibi, swing: 0.3, noise: 0.1},
		"swap":       {level: 90 * mebi, noise: 0.02},
		"swap_in":    {level: 3, swing: 1, noise: 1, spike: 20},
		"swap_out":   {level: 5, swing: 1, noise: 1, spike: 20},
		"up":         {level: 9e6, swing: 0.8, noise: 0.4, spike: 1},
		"down":       {level: 3e6, swing: 0.8, noise: 0.5, spike: 2},
		"_dev_sda1":  {level: 92.6, noise: 0.002, growth: 0.11},
		"_dev_sdb1":  {level: 98.4, noise: 0.002, growth: 0.21},
		"_run":       {level: 3, noise: 0.1},
		"rdio":       {level: 35, swing: 0.7, noise: 1, spike: 3},
		"wrio":       {level: 80, swing: 0.7, noise: 1, spike: 3},
		"sda":        {level: 90, swing: 0.7, noise: 1, spike: 3},
		"sdb":        {level: 20, swing: 0.7, noise: 1, spike: 3},
		"temp1":      {level: 48, swing: 0.15, noise: 0.05},
		"temp2":      {level: 61, swing: 0.1, noise: 0.03},
		"processes":  {level: 214, swing: 0.1, noise: 0.05},
		"uptime":     {level: 81, noise: 0},
		"hits":       {level: 1800, swing: 0.9, noise: 0.3, spike: 1},
		"loadtime":   {level: 0.34, swing: 0.3, noise: 0.5, spike: 4},
		"queries":    {level: 640, swing: 0.8, noise: 0.3},
		"slow":       {level: 0.4, swing: 0.8, noise: 1.2, spike: 10},
		"apache_vol": {level: 4e6, swing: 0.7, noise: 0.4},
	}
}

type config struct{ plugin, text string }

// saidByPlugins is what plugins of an ordinary machine say, in Munin's words.
//
//go:embed plugins.txt
var saidByPlugins string

func configs() []config {
	var all []config
	for part := range strings.SplitSeq(saidByPlugins, "### ") {
		if name, text, ok := strings.Cut(part, "\n"); ok {
			all = append(all, config{plugin: name, text: text})
		}
	}
	return all
}
