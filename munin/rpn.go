package munin

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of one cdef. What exceeds them does not compile.
const (
	maxRPNTokens  = 500
	maxRPNDepth   = 500
	maxRPNWindows = 4  // TREND, PREDICT and their kin, which cost a pass over their window at every step
	maxRPNShifts  = 16 // windows of one PREDICT
)

// CDEF is a field's cdef, compiled: rrdtool's reverse Polish notation over the fields of one graph. It is
// immutable and may be used by many goroutines.
//
// Known are + - * / % ADDNAN MIN MAX MINNAN MAXNAN LIMIT LT LE GT GE EQ NE UN ISINF IF SIN COS ATAN ATAN2 LOG
// EXP SQRT FLOOR CEIL ROUND ABS POW DEG2RAD RAD2DEG AVG MEDIAN STDEV SMIN SMAX PERCENT SORT REV DUP POP EXC DEPTH
// COPY INDEX ROLL UNKN INF NEGINF PREV PREV(name) COUNT TIME LTIME NOW STEPWIDTH NEWDAY NEWWEEK NEWMONTH NEWYEAR
// TREND TRENDNAN PREDICT PREDICTSIGMA PREDICTPERC. The count before an operator over a set, as in "a,b,2,AVG", has to
// be a plain number, so that a cdef that compiles can no longer fail half-way. A week begins on Monday.
type CDEF struct {
	text   string
	tokens []rpnToken
	names  []string
	depth  int
}

// CDEFInput is what a cdef is evaluated over: Steps steps, of which step i covers the time from Start + i·Step
// to Start + (i+1)·Step.
type CDEFInput struct {
	Steps int
	Start time.Time // its location is the one of LTIME
	Step  time.Duration
	Now   time.Time
	// Values gives the Steps values of a field, NaN where unknown; nil says that there is no such field. It is
	// called once for every name.
	Values func(name string) []float64
}

type rpnKind int

const (
	rpnNumber rpnKind = iota
	rpnField
	rpnUnary
	rpnBinary
	rpnChoice // three operands: IF, LIMIT
	rpnSet    // count operands become one
	rpnPercent
	rpnOrder // count operands are put into another order: SORT, REV
	rpnDup
	rpnPop
	rpnExchange
	rpnDepth
	rpnCopy
	rpnIndex
	rpnRoll
	rpnPrevious
	rpnPreviousOf
	rpnStepNumber
	rpnTime
	rpnLocalTime
	rpnNow
	rpnStepWidth
	rpnBegins // NEWDAY and its kin
	rpnTrend
	rpnTrendNaN
	rpnPredict
)

// predictKind is what a PREDICT makes of the values that it finds.
type predictKind int

const (
	predictMean predictKind = iota
	predictDeviation
	predictPercentile
)

type rpnToken struct {
	text   string
	kind   rpnKind
	number float64
	field  int // index in CDEF.names
	count  int // operands of a set operator; how far ROLL rolls
	span   int // how many elements ROLL moves
	unary  func(a float64) float64
	binary func(a, b float64) float64
	choice func(a, b, c float64) float64
	set    func(values []float64) float64
	order  func(values []float64)
	begins func(now, before time.Time) bool
	// Of a PREDICT: the shifts in seconds, what is made of the values found, and the percentage.
	shifts  []float64
	predict predictKind
	percent float64
}

// CompileCDEF checks a cdef and makes it ready to be evaluated. Names of fields are sanitised as those of the
// graph are. The error names the token that is at fault.
func CompileCDEF(text string) (*CDEF, error) {
	if len(text) > MaxValueBytes {
		return nil, fmt.Errorf("cdef: the expression is longer than %d bytes", MaxValueBytes)
	}
	words := strings.Split(text, ",")
	if len(words) > maxRPNTokens {
		return nil, fmt.Errorf("cdef: the expression has more than %d parts", maxRPNTokens)
	}
	c := &CDEF{text: text}
	operators := rpnOperators()
	for _, word := range words {
		token, err := c.token(strings.TrimSpace(word), operators)
		if err != nil {
			return nil, fmt.Errorf("cdef %q: %w", excerpt(text), err)
		}
		c.tokens = append(c.tokens, token)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cdef %q: %w", excerpt(text), err)
	}
	return c, nil
}

// Names are the fields that the expression reads, each once, in the order in which they appear.
func (c *CDEF) Names() []string { return slices.Clone(c.names) }

// LooksBack says whether the value of a step depends on the steps before it.
func (c *CDEF) LooksBack() bool {
	return slices.ContainsFunc(c.tokens, func(t rpnToken) bool {
		return t.windowed() || t.kind == rpnPrevious || t.kind == rpnPreviousOf || t.kind == rpnStepNumber || t.kind == rpnBegins
	})
}

func (c *CDEF) token(word string, operators map[string]rpnToken) (rpnToken, error) {
	if token, ok := operators[word]; ok {
		token.text = word
		return token, nil
	}
	if word == "" {
		return rpnToken{}, errors.New("there is nothing between two commas, or at an end")
	}
	if strings.IndexByte("0123456789.+-", word[0]) >= 0 && !strings.ContainsAny(word, "xXpP_") {
		if v, err := strconv.ParseFloat(word, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return rpnToken{text: word, kind: rpnNumber, number: v}, nil
		}
	}
	if name, ok := strings.CutPrefix(word, "PREV("); ok && strings.HasSuffix(name, ")") {
		return c.fieldToken(strings.TrimSuffix(name, ")"), rpnPreviousOf)
	}
	return c.fieldToken(word, rpnField)
}

func (c *CDEF) fieldToken(word string, kind rpnKind) (rpnToken, error) {
	letters := false
	for _, b := range []byte(word) {
		if !isNameByte(b) || b == ':' {
			return rpnToken{}, fmt.Errorf("%q is neither an operator, a number nor a field name", excerpt(word))
		}
		letters = letters || b == '_' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
	}
	if !letters || len(word) > MaxNameBytes {
		return rpnToken{}, fmt.Errorf("%q is neither an operator, a number nor a field name", excerpt(word))
	}
	name := SanitiseField(word)
	i := slices.Index(c.names, name)
	if i < 0 {
		i = len(c.names)
		c.names = append(c.names, name)
	}
	return rpnToken{text: word, kind: kind, field: i}, nil
}

// operand is what is known of a stack element before evaluation.
type operand struct {
	literal bool
	value   float64
}

// check walks the tokens over a stack of operands, so that no evaluation can find too few of them, and fixes
// the counts of the operators over sets.
func (c *CDEF) check() error {
	var stack []operand
	windows := 0
	for i := range c.tokens {
		token := &c.tokens[i]
		if token.windowed() {
			if windows++; windows > maxRPNWindows {
				return fmt.Errorf("more than %d times TREND or PREDICT", maxRPNWindows)
			}
		}
		err := token.bind(c.tokens[:i])
		if err != nil {
			return err
		}
		if stack, err = token.apply(stack); err != nil {
			return fmt.Errorf("%s (part %d) %w", token.text, i+1, err)
		}
		if len(stack) > maxRPNDepth {
			return fmt.Errorf("%s (part %d) makes the stack deeper than %d", token.text, i+1, maxRPNDepth)
		}
		c.depth = max(c.depth, len(stack))
	}
	if len(stack) != 1 {
		return fmt.Errorf("it leaves %d values instead of one; is an operator missing?", len(stack))
	}
	return nil
}

func (t *rpnToken) windowed() bool {
	return t.kind == rpnTrend || t.kind == rpnTrendNaN || t.kind == rpnPredict
}

// bind takes from the tokens before it what a TREND or PREDICT has to know before evaluation.
func (t *rpnToken) bind(before []rpnToken) error {
	n := len(before)
	if t.kind == rpnPredict {
		return t.bindPredict(before)
	}
	if !t.windowed() {
		return nil
	}
	if n < 2 || before[n-2].kind != rpnField || before[n-1].kind != rpnNumber {
		return fmt.Errorf("%s wants a field name and a number of seconds just before it", t.text)
	}
	t.field, t.number = before[n-2].field, before[n-1].number
	return nil
}

// bindPredict reads "shift,shift,…,n,window,x,PREDICT", or with a negative n the one shift whose multiples are meant.
// PREDICTPERC has a percentage before x.
func (t *rpnToken) bindPredict(before []rpnToken) error {
	numbers := 0 // how many plain numbers stand before the name
	for i := len(before) - 2; i >= 0 && before[i].kind == rpnNumber; i-- {
		numbers++
	}
	at := len(before) - 2
	next := func() float64 {
		at--
		return before[at+1].number
	}
	least := 3
	if t.predict == predictPercentile {
		least = 4
	}
	usage := fmt.Errorf("%s wants shifts, how many they are, a window in seconds and a field name just before it, all plain numbers but the name", t.text)
	if numbers < least || before[len(before)-1].kind != rpnField {
		return usage
	}
	t.field = before[len(before)-1].field
	if t.predict == predictPercentile {
		t.percent = next()
	}
	t.number = next()
	count := next()
	given := max(int(count), 1)
	if math.Abs(t.percent) > 100 || count == 0 || count != math.Trunc(count) || given > numbers-least+1 {
		return usage
	}
	if math.Abs(count) > maxRPNShifts {
		return fmt.Errorf("%s of more than %d shifts", t.text, maxRPNShifts)
	}
	t.count = least + given
	t.shifts = nil
	for range given {
		t.shifts = append(t.shifts, next())
	}
	if count < 0 {
		t.multiply(int(-count))
	}
	if slices.Min(t.shifts) < 0 {
		return usage
	}
	return nil
}

// multiply makes of the one shift its multiples from 0.
func (t *rpnToken) multiply(times int) {
	shift := t.shifts[0]
	t.shifts = t.shifts[:0]
	for i := range times {
		t.shifts = append(t.shifts, shift*float64(i))
	}
}

// apply does to the operands what evaluation will do to the values.
func (t *rpnToken) apply(stack []operand) ([]operand, error) {
	takes, gives := t.arity()
	if t.counted() {
		if err := t.fixCount(stack); err != nil {
			return nil, err
		}
		switch t.kind {
		case rpnSet:
			takes, gives = t.count+1, 1
		case rpnPercent:
			takes, gives = t.count+2, 1
		case rpnCopy:
			takes, gives = t.count+1, 2*t.count
		case rpnIndex:
			takes, gives = t.count+1, t.count+1
		case rpnRoll:
			takes, gives = t.span+2, t.span
		default:
			takes, gives = t.count+1, t.count
		}
	}
	if len(stack) < takes {
		return nil, fmt.Errorf("needs %d values, but there are only %d", takes, len(stack))
	}
	stack = stack[:len(stack)-takes]
	if t.kind == rpnNumber {
		return append(stack, operand{literal: true, value: t.number}), nil
	}
	return append(stack, make([]operand, gives)...), nil
}

func (t *rpnToken) counted() bool {
	switch t.kind {
	case rpnSet, rpnPercent, rpnOrder, rpnCopy, rpnIndex, rpnRoll:
		return true
	default:
		return false
	}
}

func (t *rpnToken) arity() (takes, gives int) {
	switch t.kind {
	case rpnUnary:
		return 1, 1
	case rpnPredict:
		return t.count, 1
	case rpnBinary, rpnTrend, rpnTrendNaN:
		return 2, 1
	case rpnChoice:
		return 3, 1
	case rpnDup:
		return 1, 2
	case rpnPop:
		return 1, 0
	case rpnExchange:
		return 2, 2
	default:
		return 0, 1
	}
}

// fixCount reads the literal on top of the stack; ROLL has two: "n,m,ROLL" rotates n elements by m.
func (t *rpnToken) fixCount(stack []operand) error {
	whole := func(back int, low float64) (int, error) {
		if len(stack) < back || !stack[len(stack)-back].literal {
			return 0, errors.New("wants a plain number as its count just before it")
		}
		v := stack[len(stack)-back].value
		if v != math.Trunc(v) || v < low || v > maxRPNDepth {
			return 0, fmt.Errorf("cannot take %g as its count", v)
		}
		return int(v), nil
	}
	var err error
	if t.kind == rpnRoll {
		if t.count, err = whole(1, -maxRPNDepth); err == nil {
			t.span, err = whole(2, 1)
		}
		return err
	}
	t.count, err = whole(1, 1)
	return err
}

// Eval computes the expression for every step. It fails only when a field is missing or has a wrong number of
// values.
func (c *CDEF) Eval(in CDEFInput) ([]float64, error) {
	fields := make([][]float64, len(c.names))
	for i, name := range c.names {
		fields[i] = in.Values(name)
		if fields[i] == nil && in.Steps > 0 {
			return nil, fmt.Errorf("cdef %q: %s is neither an operator nor a field of this graph", excerpt(c.text), name)
		}
		if len(fields[i]) != in.Steps {
			return nil, fmt.Errorf("cdef %q: %s has %d values for %d steps", excerpt(c.text), name, len(fields[i]), in.Steps)
		}
	}
	run := rpnRun{in: &in, fields: fields, out: make([]float64, in.Steps), stack: make([]float64, 0, c.depth)}
	for run.step = range in.Steps {
		run.stack = run.stack[:0]
		for i := range c.tokens {
			run.do(&c.tokens[i])
		}
		run.out[run.step] = run.stack[0]
	}
	return run.out, nil
}
