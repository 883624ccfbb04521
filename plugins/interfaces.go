package plugins

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"corbie/munin"
)

// interfaceTraffic says how many bits go through a network interface.
//
// Settings: speed (megabits a second, where the driver does not say it) and levels.
func interfaceTraffic(r *report) error {
	counters, err := interfaceCounters(r)
	if err != nil {
		return err
	}
	r.attr("graph_title", r.instance, " traffic")
	r.graph("graph_order down up\ngraph_args --base 1000\ngraph_vlabel bits in (-) / out (+) per ${graph_period}\ngraph_category network")
	r.attr("graph_info", "Bits received and sent by the network interface ", r.instance, ".")
	r.field("down", "label received\ntype DERIVE\ngraph no\ncdef down,8,*\nmin 0")
	speed := interfaceSpeed(r)
	limit := ""
	if speed > 0 {
		limit = strconv.FormatFloat(speed*1e6, 'f', 0, 64)
		r.fieldAttr("down", "max", limit)
	}
	r.levels("down", "", "")
	r.uint("down", counters[0])
	r.field("up", "label bps\ntype DERIVE\nnegative down\ncdef up,8,*\nmin 0")
	if speed > 0 {
		r.fieldAttr("up", "max", limit)
		r.fieldAttr("up", "info", "Traffic of ", r.instance, ", which can do ", strconv.FormatFloat(speed, 'f', -1, 64), " Mb/s.")
	} else {
		r.fieldAttr("up", "info", "Traffic of ", r.instance, ". Its driver does not say its speed; env.speed can, in Mb/s.")
	}
	r.levels("up", "", "")
	r.uint("up", counters[8])
	return nil
}

// interfaceErrors says how many packets a network interface loses.
func interfaceErrors(r *report) error {
	counters, err := interfaceCounters(r)
	if err != nil {
		return err
	}
	r.attr("graph_title", r.instance, " errors")
	r.graph("graph_order rcvd trans\ngraph_args --base 1000\ngraph_vlabel packets in (-) / out (+) per ${graph_period}\ngraph_category network")
	r.attr("graph_info", "Packets that the network interface ", r.instance, " received or sent badly, dropped, or had to repeat.")
	const advice = "Look at the cable, the switch port and whether both ends agree on speed and duplex."
	r.field("rcvd", "label errors\ntype COUNTER\ngraph no")
	r.levels("rcvd", "1", "")
	r.advise("rcvd", advice)
	r.uint("rcvd", counters[2])
	r.field("trans", "label errors\ntype COUNTER\nnegative rcvd")
	r.levels("trans", "1", "")
	r.advise("trans", advice)
	r.uint("trans", counters[10])
	r.field("rxdrop", "label drops\ntype COUNTER\ngraph no")
	r.uint("rxdrop", counters[3])
	r.field("txdrop", "label drops\ntype COUNTER\nnegative rxdrop")
	r.uint("txdrop", counters[11])
	r.field("collisions", "label collisions\ntype COUNTER")
	r.uint("collisions", counters[13])
	return nil
}

// interfaceCounters reads the sixteen numbers of an interface from /proc/net/dev.
func interfaceCounters(r *report) ([16]uint64, error) {
	var counters [16]uint64
	text, err := r.read("proc/net/dev")
	if err != nil {
		return counters, err
	}
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		name, rest, ok := interfaceLine(line)
		if !ok || string(name) != r.instance {
			continue
		}
		if uints(rest, counters[:]) < len(counters) {
			return counters, fmt.Errorf("/proc/net/dev: the line of %s does not hold 16 numbers", r.instance)
		}
		return counters, nil
	}
	return counters, fmt.Errorf("there is no network interface %s: %w", r.instance, munin.ErrNotFound)
}

// interfaceLine takes a line of /proc/net/dev apart. An alias's name holds a colon itself.
func interfaceLine(line []byte) (name, numbers []byte, ok bool) {
	i := bytes.LastIndexByte(line, ':')
	if i < 0 {
		return nil, nil, false
	}
	name = bytes.TrimSpace(line[:i])
	return name, line[i+1:], len(name) > 0
}

// interfaceNames lists the interfaces worth watching: neither loopback nor tunnels that the kernel makes by
// itself, nor VLANs, whose traffic their parents count too.
func interfaceNames(r *report) []string {
	text, err := r.read("proc/net/dev")
	if err != nil {
		return nil
	}
	var names []string
	for len(text) > 0 && len(names) < maxItems {
		var line []byte
		line, text = nextLine(text)
		name, _, ok := interfaceLine(line)
		if ok && !skipInterface(string(name)) && munin.ValidatePluginName("if_err_"+string(name)) == nil {
			names = append(names, string(name))
		}
	}
	return names
}

func skipInterface(name string) bool {
	digitsAfter := func(prefix string) bool {
		return len(name) > len(prefix) && name[:len(prefix)] == prefix && allDigits(name[len(prefix):])
	}
	if name == "lo" || digitsAfter("sit") || len(name) == 4 && digitsAfter("gre") {
		return true
	}
	for i := range len(name) {
		if c := name[i]; c == '.' {
			return i > 0 && allDigits(name[i+1:])
		} else if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return false
}

func allDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// needInterfaces is the missing function of the two plugins for network interfaces.
func needInterfaces(r *report) error {
	if err := needs("proc/net/dev")(r); err != nil {
		return err
	}
	if r.instance == "" && len(interfaceNames(r)) == 0 {
		return errors.New("no network interface but loopback")
	}
	return nil
}

// interfaceSpeed is how many megabits a second an interface can do, zero where nobody says.
func interfaceSpeed(r *report) float64 {
	if text := r.env["speed"]; text != "" {
		if v, err := strconv.ParseFloat(text, 64); err == nil && v > 0 && !math.IsInf(v, 0) {
			return v
		}
		return 0
	}
	if r.instance == "." || r.instance == ".." {
		return 0
	}
	// Without a link the driver says -1, which is not a whole number here.
	v, _ := r.readUint("sys/class/net/" + r.instance + "/speed")
	return float64(v)
}
