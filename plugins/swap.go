package plugins

import "errors"

// swap says how many pages go to and come from the swap space.
func swap(r *report) error {
	text, err := r.read("proc/vmstat")
	if err != nil {
		return err
	}
	in, okIn := numberOf(text, "pswpin")
	out, okOut := numberOf(text, "pswpout")
	if !okIn || !okOut {
		return errors.New("/proc/vmstat does not count pages that are swapped")
	}
	r.graph("graph_title Swap in/out\ngraph_args -l 0 --base 1000\n" +
		"graph_vlabel pages per ${graph_period} in (-) / out (+)\ngraph_category system\n" +
		"graph_info Pages moved between memory and swap space. Steady traffic in both directions means that memory is short.")
	r.field("swap_in", "label swap\ntype DERIVE\nmax 100000\nmin 0\ngraph no")
	r.levels("swap_in", "", "")
	r.uint("swap_in", in)
	r.field("swap_out", "label swap\ntype DERIVE\nmax 100000\nmin 0\nnegative swap_in")
	r.levels("swap_out", "", "")
	r.uint("swap_out", out)
	return nil
}
