package plugins

import (
	"bytes"
	"strconv"
)

const conntrackFile = "proc/net/nf_conntrack"

// conntrack says how many connections the packet filter keeps track of.
func conntrack(r *report) error {
	var established, finWait, timeWait, synSent, udp, assured, nated, total uint64
	if r.values {
		err := r.lines(conntrackFile, func(line []byte) {
			total++
			c := parseConnection(line)
			switch c.state {
			case "ESTABLISHED":
				established++
			case "FIN_WAIT":
				finWait++
			case "TIME_WAIT":
				timeWait++
			case "SYN_SENT":
				synSent++
			}
			count(&udp, c.protocol == "udp")
			count(&assured, bytes.Contains(line, []byte("ASSURED")))
			count(&nated, c.ports && !c.straight())
		})
		if err != nil {
			return err
		}
	}
	r.graph("graph_title Connections through firewall\ngraph_vlabel Connections\ngraph_category network\ngraph_args -l 0\n" +
		"graph_info Connections that the packet filter keeps track of. When its table is full new ones are refused.")
	for _, f := range [...]struct {
		name, label, draw string
		value             uint64
	}{
		{"established", "Established", "AREA", established},
		{"fin_wait", "FIN_WAIT", "STACK", finWait},
		{"time_wait", "TIME_WAIT", "STACK", timeWait},
		{"syn_sent", "SYN_SENT", "STACK", synSent},
		{"udp", "UDP connections", "STACK", udp},
		{"assured", "Assured", "LINE2", assured},
		{"nated", "NATed", "LINE1", nated},
	} {
		r.field(f.name, "label "+f.label+"\ntype GAUGE\ndraw "+f.draw)
		r.uint(f.name, f.value)
	}
	r.field("total", "label Total\ntype GAUGE\ngraph no")
	warning, critical := "", ""
	for _, name := range [...]string{"proc/sys/net/nf_conntrack_max", "proc/sys/net/netfilter/nf_conntrack_max"} {
		if most, ok := r.readUint(name); ok && most > 0 {
			warning = strconv.FormatFloat(float64(most)*8/10, 'f', -1, 64)
			critical = strconv.FormatFloat(float64(most)*9/10, 'f', -1, 64)
			break
		}
	}
	r.levels("total", warning, critical)
	r.advise("total", "Find who makes so many connections, or raise net.netfilter.nf_conntrack_max.")
	r.uint("total", total)
	return nil
}

// forwardedLocal says how many connections end at this machine and how many go through it.
func forwardedLocal(r *report) error {
	var forwarded, local uint64
	if r.values {
		err := r.lines(conntrackFile, func(line []byte) {
			c := parseConnection(line)
			if c.state == "ESTABLISHED" && c.ports {
				count(&local, bytes.Equal(c.from, c.replyTo))
				count(&forwarded, !bytes.Equal(c.from, c.replyTo))
			}
		})
		if err != nil {
			return err
		}
	}
	r.graph("graph_title ipconntrack\ngraph_args -l 0 --base 1000\ngraph_vlabel established connections\ngraph_category network\n" +
		"graph_info Connections kept track of whose answers go back to where they came from (local) or to another address (forward).")
	r.field("forward", "label forward\ntype GAUGE")
	r.levels("forward", "", "")
	r.uint("forward", forwarded)
	r.field("local", "label local\ntype GAUGE")
	r.levels("local", "", "")
	r.uint("local", local)
	return nil
}

func count(n *uint64, when bool) {
	if when {
		*n++
	}
}

// connection is one line of /proc/net/nf_conntrack. The addresses are of the first packet and of its answer.
type connection struct {
	protocol           string // tcp, udp, …
	state              string // of a TCP connection
	ports              bool   // both directions say addresses and ports
	from, to           []byte
	replyFrom, replyTo []byte
}

// straight says whether no address is translated.
func (c connection) straight() bool {
	return bytes.Equal(c.from, c.replyTo) && bytes.Equal(c.to, c.replyFrom)
}

// parseConnection reads "ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… …".
func parseConnection(line []byte) connection {
	var c connection
	_, line = nextWord(line)
	_, line = nextWord(line)
	protocol, line := nextWord(line)
	_, line = nextWord(line)
	_, line = nextWord(line)
	switch string(protocol) {
	case "tcp":
		c.protocol = "tcp"
		var state []byte
		state, line = nextWord(line)
		for _, known := range [...]string{"ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "SYN_SENT"} {
			if string(state) == known {
				c.state = known
			}
		}
	case "udp":
		c.protocol = "udp"
	}
	ports := 0
	for len(line) > 0 {
		var word []byte
		word, line = nextWord(line)
		key, value, _ := bytes.Cut(word, []byte("="))
		switch {
		case string(key) == "src" && c.from == nil:
			c.from = value
		case string(key) == "src":
			c.replyFrom = value
		case string(key) == "dst" && c.to == nil:
			c.to = value
		case string(key) == "dst":
			c.replyTo = value
		case string(key) == "sport":
			ports++
		}
	}
	c.ports = ports >= 1 && c.replyTo != nil
	return c
}
