package munin

import (
	"math"
	"slices"
	"time"
)

// rpnRun is one evaluation under way.
type rpnRun struct {
	in     *CDEFInput
	fields [][]float64
	out    []float64
	stack  []float64
	step   int
}

func (r *rpnRun) push(v float64) { r.stack = append(r.stack, v) }

// take removes the top n values; they stay readable until the next push.
func (r *rpnRun) take(n int) []float64 {
	cut := len(r.stack) - n
	top := r.stack[cut:]
	r.stack = r.stack[:cut]
	return top
}

// do lets one token act on the stack. That there are enough values was seen at compilation.
func (r *rpnRun) do(t *rpnToken) {
	switch t.kind {
	case rpnNumber:
		r.push(t.number)
	case rpnField:
		r.push(r.fields[t.field][r.step])
	case rpnUnary:
		r.push(t.unary(r.take(1)[0]))
	case rpnBinary:
		v := r.take(2)
		r.push(t.binary(v[0], v[1]))
	case rpnChoice:
		v := r.take(3)
		r.push(t.choice(v[0], v[1], v[2]))
	case rpnSet:
		r.push(t.set(r.take(t.count + 1)[:t.count]))
	case rpnPercent:
		v := r.take(t.count + 2)
		r.push(percentile(v[:t.count], v[t.count]))
	case rpnTrend, rpnTrendNaN:
		r.take(2)
		r.push(r.trend(t))
	case rpnPredict:
		r.take(t.count)
		r.push(r.predict(t))
	case rpnOrder, rpnDup, rpnPop, rpnExchange, rpnDepth, rpnCopy, rpnIndex, rpnRoll:
		r.shuffle(t)
	default:
		r.push(r.special(t))
	}
}

func (r *rpnRun) shuffle(t *rpnToken) {
	switch t.kind {
	case rpnOrder:
		r.take(1)
		t.order(r.stack[len(r.stack)-t.count:])
	case rpnDup:
		r.push(r.stack[len(r.stack)-1])
	case rpnPop:
		r.take(1)
	case rpnExchange:
		top := len(r.stack) - 1
		r.stack[top], r.stack[top-1] = r.stack[top-1], r.stack[top]
	case rpnDepth:
		r.push(float64(len(r.stack)))
	case rpnCopy:
		r.take(1)
		r.stack = append(r.stack, r.stack[len(r.stack)-t.count:]...)
	case rpnIndex:
		r.take(1)
		r.push(r.stack[len(r.stack)-t.count])
	case rpnRoll:
		r.take(2)
		rotate(r.stack[len(r.stack)-t.span:], t.count)
	default:
	}
}

// special is the value of an operator that takes nothing from the stack.
func (r *rpnRun) special(t *rpnToken) float64 {
	// rrdtool stamps a step with its end.
	at := r.in.Start.Add(time.Duration(r.step+1) * r.in.Step)
	seconds := float64(at.Unix())
	switch t.kind {
	case rpnPrevious:
		return previous(r.out, r.step)
	case rpnPreviousOf:
		return previous(r.fields[t.field], r.step)
	case rpnStepNumber:
		return float64(r.step + 1)
	case rpnLocalTime:
		_, offset := at.In(r.in.Start.Location()).Zone()
		return seconds + float64(offset)
	case rpnNow:
		return float64(r.in.Now.Unix())
	case rpnStepWidth:
		return r.in.Step.Seconds()
	case rpnBegins:
		at = at.In(r.in.Start.Location())
		return truth(t.begins(at, at.Add(-r.in.Step)))
	default:
		return seconds
	}
}

func previous(values []float64, step int) float64 {
	if step == 0 {
		return math.NaN()
	}
	return values[step-1]
}

// trend is the average over the window that ends with this step. It is unknown until there is a whole window.
func (r *rpnRun) trend(t *rpnToken) float64 {
	window := max(math.Ceil(t.number/r.in.Step.Seconds()), 1)
	if !(window <= float64(r.step+1)) {
		return math.NaN()
	}
	values := r.fields[t.field][r.step+1-int(window) : r.step+1]
	if t.kind == rpnTrend && slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN()
	}
	return average(values)
}

// predict makes one number of the known values in windows that each lie a shift back. A window ends, as rrdtool has it,
// one step later than its shift says, and the first two steps of a picture are in none.
func (r *rpnRun) predict(t *rpnToken) float64 {
	values, step := r.fields[t.field], r.in.Step.Seconds()
	window := math.Ceil(t.number / step)
	var found []float64
	for _, shift := range t.shifts {
		back := math.Ceil(shift / step)
		for i := 0.0; i <= window && back+i < float64(r.step); i++ {
			at := r.step + 1 - int(back+i)
			if at < len(values) && !math.IsNaN(values[at]) {
				found = append(found, values[at])
			}
		}
	}
	switch t.predict {
	case predictDeviation:
		return deviation(found)
	case predictPercentile:
		return quantile(found, t.percent/100)
	case predictMean:
	}
	return average(found)
}

// quantile lies between the two nearest values; a negative part takes the nearest itself.
func quantile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	at := part * float64(len(values)-1)
	if part < 0 {
		return values[int(math.Round(-at))]
	}
	low := int(at)
	v := values[low]
	if rest := at - float64(low); rest > 0 {
		v += rest * (values[low+1] - v)
	}
	return v
}

// rotate moves the last by values to the front, or with a negative by the first ones to the end.
func rotate(values []float64, by int) {
	n := len(values)
	if by = (by%n + n) % n; by > 0 {
		copy(values, slices.Concat(values[n-by:], values[:n-by]))
	}
}

// known are the values that are not NaN, in a new slice.
func known(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}

func average(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

func median(values []float64) float64 {
	sorted := known(values)
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// deviation is the standard deviation of the known values as a sample; it is unknown for fewer than two.
func deviation(values []float64) float64 {
	values = known(values)
	mean := average(values)
	sum := 0.0
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	if len(values) < 2 {
		return math.NaN()
	}
	return math.Sqrt(sum / float64(len(values)-1))
}

// percentile is the value that percent of the values do not exceed: one of them, never one between two. An
// unknown value is less than every other.
func percentile(values []float64, percent float64) float64 {
	if !(percent >= 0 && percent <= 100) {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Round(percent*float64(len(sorted))/100))-1, 0)]
}

func extreme(values []float64, better func(a, b float64) float64) float64 {
	best := values[0]
	for _, v := range values[1:] {
		best = better(best, v)
	}
	return best
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// compare makes a comparison unknown where an operand is.
func compare(is func(a, b float64) bool) func(a, b float64) float64 {
	return func(a, b float64) float64 {
		if math.IsNaN(a) || math.IsNaN(b) {
			return math.NaN()
		}
		return truth(is(a, b))
	}
}

// orOther makes an operator answer with the known operand where the other is unknown.
func orOther(operate func(a, b float64) float64) func(a, b float64) float64 {
	return func(a, b float64) float64 {
		switch {
		case math.IsNaN(a):
			return b
		case math.IsNaN(b):
			return a
		}
		return operate(a, b)
	}
}

// lesser and greater are unknown where an operand is, also beside an infinity.
func lesser(a, b float64) float64 {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return math.Min(a, b)
}

func greater(a, b float64) float64 {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return math.Max(a, b)
}

// choose is IF, read as "if condition then yes else no"; an unknown condition does not hold.
func choose(condition, yes, no float64) float64 {
	if condition == 0 || math.IsNaN(condition) {
		return no
	}
	return yes
}

// within is what rrdtool does for LIMIT: an infinite limit is no limit, whatever its manual says.
func within(v, low, high float64) float64 {
	if v >= low && v <= high {
		return v
	}
	return math.NaN()
}

// rpnOperators is the table of all operators.
func rpnOperators() map[string]rpnToken {
	table := map[string]rpnToken{
		"IF": {kind: rpnChoice, choice: choose}, "LIMIT": {kind: rpnChoice, choice: within},
		"PERCENT": {kind: rpnPercent}, "SORT": {kind: rpnOrder, order: slices.Sort[[]float64]}, "REV": {kind: rpnOrder, order: slices.Reverse[[]float64]},
		"DUP": {kind: rpnDup}, "POP": {kind: rpnPop}, "EXC": {kind: rpnExchange}, "DEPTH": {kind: rpnDepth},
		"COPY": {kind: rpnCopy}, "INDEX": {kind: rpnIndex}, "ROLL": {kind: rpnRoll},
		"UNKN": {kind: rpnNumber, number: math.NaN()}, "INF": {kind: rpnNumber, number: math.Inf(1)},
		"NEGINF": {kind: rpnNumber, number: math.Inf(-1)},
		"PREV":   {kind: rpnPrevious}, "COUNT": {kind: rpnStepNumber}, "TIME": {kind: rpnTime},
		"LTIME": {kind: rpnLocalTime}, "NOW": {kind: rpnNow}, "STEPWIDTH": {kind: rpnStepWidth},
		"TREND": {kind: rpnTrend}, "TRENDNAN": {kind: rpnTrendNaN},
		"PREDICT": {kind: rpnPredict}, "PREDICTSIGMA": {kind: rpnPredict, predict: predictDeviation},
		"PREDICTPERC": {kind: rpnPredict, predict: predictPercentile},
	}
	for name, f := range map[string]func(now, before time.Time) bool{
		"NEWDAY": func(now, before time.Time) bool { return now.Day() != before.Day() },
		"NEWWEEK": func(now, before time.Time) bool {
			return now.Weekday() == time.Monday && before.Weekday() != time.Monday
		},
		"NEWMONTH": func(now, before time.Time) bool { return now.Month() != before.Month() },
		"NEWYEAR":  func(now, before time.Time) bool { return now.Year() != before.Year() },
	} {
		table[name] = rpnToken{kind: rpnBegins, begins: f}
	}
	for name, f := range map[string]func(a float64) float64{
		"UN":    func(a float64) float64 { return truth(math.IsNaN(a)) },
		"ISINF": func(a float64) float64 { return truth(math.IsInf(a, 0)) },
		"SIN":   math.Sin, "COS": math.Cos, "ATAN": math.Atan, "LOG": math.Log, "EXP": math.Exp, "SQRT": math.Sqrt,
		"FLOOR": math.Floor, "CEIL": math.Ceil, "ROUND": math.Round, "ABS": math.Abs,
		"DEG2RAD": func(a float64) float64 { return a * math.Pi / 180 },
		"RAD2DEG": func(a float64) float64 { return a * 180 / math.Pi },
	} {
		table[name] = rpnToken{kind: rpnUnary, unary: f}
	}
	add := func(a, b float64) float64 { return a + b }
	for name, f := range map[string]func(a, b float64) float64{
		"+": add, "ADDNAN": orOther(add),
		"-": func(a, b float64) float64 { return a - b }, "*": func(a, b float64) float64 { return a * b },
		"/": func(a, b float64) float64 { return a / b }, "%": math.Mod,
		"POW": math.Pow, "ATAN2": math.Atan2,
		"MIN": lesser, "MAX": greater, "MINNAN": orOther(lesser), "MAXNAN": orOther(greater),
		"LT": compare(func(a, b float64) bool { return a < b }), "LE": compare(func(a, b float64) bool { return a <= b }),
		"GT": compare(func(a, b float64) bool { return a > b }), "GE": compare(func(a, b float64) bool { return a >= b }),
		"EQ": compare(func(a, b float64) bool { return a == b }), "NE": compare(func(a, b float64) bool { return a != b }),
	} {
		table[name] = rpnToken{kind: rpnBinary, binary: f}
	}
	for name, f := range map[string]func(values []float64) float64{
		"AVG": average, "MEDIAN": median, "STDEV": deviation,
		"SMIN": func(v []float64) float64 { return extreme(v, orOther(lesser)) },
		"SMAX": func(v []float64) float64 { return extreme(v, orOther(greater)) },
	} {
		table[name] = rpnToken{kind: rpnSet, set: f}
	}
	return table
}
