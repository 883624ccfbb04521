package plugins

import (
	"bytes"
	"errors"
)

// netstat says how TCP connections begin and end on the whole machine.
func netstat(r *report) error {
	text, err := r.read("proc/net/snmp")
	if err != nil {
		return err
	}
	var v [5]uint64
	for i, name := range [...]string{"ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "CurrEstab"} {
		var ok bool
		if v[i], ok = snmpValue(text, "Tcp:", name); !ok {
			return errors.New("/proc/net/snmp does not count " + name + " of TCP")
		}
	}
	const info = "graph_info TCP connections of the whole machine, over all interfaces."
	const established = "label established\ntype GAUGE\ninfo Connections open at this moment."
	r.multigraph("netstat")
	r.graph("graph_title Netstat, combined\ngraph_args --units=si -l 1 --base 1000 --logarithmic\n" +
		"graph_vlabel TCP connections\ngraph_category network\ngraph_period second\n" + info)
	for i, f := range [...]struct{ name, info string }{
		{"active", "Connections that this machine asked for."},
		{"passive", "Connections that others asked for and got."},
		{"failed", "Connections that were not made."},
		{"resets", "Connections that were broken off."},
	} {
		r.field(f.name, "label "+f.name+"\ntype DERIVE\nmin 0\nmax 50000\ninfo "+f.info)
		r.levels(f.name, "", "")
		r.uint(f.name, v[i])
	}
	r.field("established", established)
	r.levels("established", "", "")
	r.uint("established", v[4])

	r.multigraph("netstat_established")
	r.graph("graph_title Netstat, established only\ngraph_args --lower-limit 0\n" +
		"graph_vlabel TCP connections\ngraph_category network\ngraph_period second\n" + info)
	r.field("established", established)
	r.levels("established", "", "")
	r.uint("established", v[4])
	return nil
}

// fwPackets says how many IP packets come in and how many are passed on.
func fwPackets(r *report) error {
	text, err := r.read("proc/net/snmp")
	if err != nil {
		return err
	}
	received, okReceived := snmpValue(text, "Ip:", "InReceives")
	forwarded, okForwarded := snmpValue(text, "Ip:", "ForwDatagrams")
	if !okReceived || !okForwarded {
		return errors.New("/proc/net/snmp does not count IP packets")
	}
	r.graph("graph_title Firewall Throughput\ngraph_args --base 1000 -l 0\ngraph_vlabel Packets/${graph_period}\n" +
		"graph_category network\ngraph_info IP packets that came in, and those among them that were passed on.")
	r.field("received", "label Received\ndraw AREA\ntype DERIVE\nmin 0")
	r.levels("received", "", "")
	r.uint("received", received)
	r.field("forwarded", "label Forwarded\ndraw LINE2\ntype DERIVE\nmin 0")
	r.levels("forwarded", "", "")
	r.uint("forwarded", forwarded)
	return nil
}

// snmpValue finds a number in /proc/net/snmp, where a line of names is followed by one of numbers, both
// beginning with the protocol.
func snmpValue(text []byte, protocol, name string) (uint64, bool) {
	names, ok := lineOf(text, protocol)
	if !ok {
		return 0, false
	}
	// The line of numbers is the next one that begins the same way.
	after := text[bytes.Index(text, names)+len(names):]
	numbers, ok := lineOf(after, protocol)
	if !ok {
		return 0, false
	}
	for {
		var key, number []byte
		key, names = nextWord(names)
		number, numbers = nextWord(numbers)
		if len(key) == 0 || len(number) == 0 {
			return 0, false
		}
		if string(key) == name {
			return parseUint(number)
		}
	}
}
