package repl

import (
	"fmt"
	"maps"
	"math/bits"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Bounds of single steps of a program that are easily too much. They spare the variables:
// what takes too long or too much memory within one step ends the process of the shell
// (memory.go).
const (
	maxItems = maxRange  // of a list that is repeated
	maxBytes = 256 << 20 // of a string that is repeated
	maxBits  = 1 << 22   // of a product
	maxWhole = 16 << 20  // bytes of a text that str, repr, print or json.encode makes, about
	maxNest  = 1000      // depth of it
)

// timesName is what a * b calls.
const timesName = "(times)"

// boundSteps replaces builtins by some that measure first.
func (sh *Shell) boundSteps(names starlark.StringDict) {
	for _, name := range []string{"str", "repr", "print"} {
		names[name] = measured(name, starlark.Universe[name].(*starlark.Builtin))
	}
	module := *starjson.Module
	module.Members = maps.Clone(starjson.Module.Members)
	indent := measured("json.indent", module.Members["indent"].(*starlark.Builtin))
	module.Members["indent"] = indent
	module.Members["encode"] = starlark.NewBuiltin("json.encode", jsonEncode)
	module.Members["decode"] = starlark.NewBuiltin("json.decode", jsonDecode)
	module.Members["encode_indent"] = starlark.NewBuiltin("json.encode_indent", func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
		text, err := jsonEncode(t, b, args, nil)
		if err != nil {
			return nil, err
		}
		return indent.CallInternal(t, starlark.Tuple{text}, kw)
	})
	names["json"] = &module
	names[timesName] = starlark.NewBuiltin(timesName, times)
}

// measured returns a builtin that calls another one if the text of its arguments is not
// too long.
func measured(name string, inner *starlark.Builtin) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
		left := maxWhole
		if t := onlyTable(args); t != nil && name == "print" {
			args = starlark.Tuple{t}
		}
		for _, arg := range args {
			if s, ok := arg.(starlark.String); ok && name != "repr" {
				left -= len(s) / (maxBytes / maxWhole) // nothing is added to it
			} else if err := measure(arg, nil, &left); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		return inner.CallInternal(t, args, kw)
	})
}

// onlyTable returns the table that print is to show of a list of records, or nil.
func onlyTable(args starlark.Tuple) *table {
	if len(args) != 1 {
		return nil
	}
	return tableOf(args[0])
}

// measure subtracts from left at most the length of the text of v. It fails if nothing is
// left, or if v is too deep. What contains itself has no length.
func measure(v starlark.Value, path []starlark.Value, left *int) error {
	switch v := v.(type) {
	case starlark.String:
		*left -= len(v)
	case starlark.Bytes:
		*left -= len(v)
	case *record:
		for _, name := range v.fields {
			*left -= len(name)
		}
	default:
		*left--
	}
	if *left < 0 {
		return fmt.Errorf("the text is longer than %d MiB", maxWhole>>20)
	}
	many, ok := v.(starlark.Iterable)
	if !ok || within(path, v) {
		return nil
	}
	if len(path) == maxNest {
		return fmt.Errorf("it is nested more than %d deep", maxNest)
	}
	path = append(path, v)
	dict, isDict := v.(*starlark.Dict)
	iter := many.Iterate()
	defer iter.Done()
	var part starlark.Value
	for iter.Next(&part) {
		if err := measure(part, path, left); err != nil {
			return err
		}
		if isDict {
			part, _, _ = dict.Get(part)
			if err := measure(part, path, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// within reports whether a list or dict is one of those on the path to it.
func within(path []starlark.Value, v starlark.Value) bool {
	for _, p := range path {
		switch p := p.(type) {
		case *starlark.List:
			if v, ok := v.(*starlark.List); ok && v == p {
				return true
			}
		case *starlark.Dict:
			if v, ok := v.(*starlark.Dict); ok && v == p {
				return true
			}
		}
	}
	return false
}

// times is the operator *, with bounds.
func times(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	x, y := args[0], args[1]
	if n, ok := x.(starlark.Int); ok {
		if m, ok := y.(starlark.Int); ok {
			if size(n)+size(m) > maxBits {
				return nil, fmt.Errorf("a product of more than %d bits", maxBits)
			}
		} else {
			x, y = y, x
		}
	}
	if n, ok := y.(starlark.Int); ok {
		most := maxItems
		switch x.(type) {
		case starlark.String, starlark.Bytes:
			most = maxBytes
		case *starlark.List, starlark.Tuple:
		default:
			return starlark.Binary(syntax.STAR, args[0], args[1])
		}
		if count, ok := n.Int64(); ok && count > 0 {
			if over, total := bits.Mul64(uint64(starlark.Len(x)), uint64(count)); over > 0 || total > uint64(most) {
				return nil, fmt.Errorf("excessive repeat (%d * %d elements, of at most %d)", starlark.Len(x), count, most)
			}
		}
	}
	return starlark.Binary(syntax.STAR, args[0], args[1])
}

// size returns about how many bits a number has.
func size(n starlark.Int) int {
	if _, small := n.Int64(); small {
		return 64
	}
	return n.BigInt().BitLen()
}

// boundProducts has each a * b of a statement call times.
func boundProducts(stmt syntax.Stmt) {
	fix := func(x *syntax.Expr) {
		if b, ok := (*x).(*syntax.BinaryExpr); ok && b.Op == syntax.STAR {
			_, end := b.Span()
			*x = &syntax.CallExpr{Fn: ident(timesName, b.OpPos), Lparen: b.OpPos, Args: []syntax.Expr{b.X, b.Y}, Rparen: end}
		}
	}
	syntax.Walk(stmt, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok && n.Op == syntax.STAR_EQ {
				n.Op, n.RHS = syntax.EQ, &syntax.BinaryExpr{X: ident(id.Name, id.NamePos), OpPos: n.OpPos, Op: syntax.STAR, Y: n.RHS}
			}
			fix(&n.RHS)
		case *syntax.ExprStmt:
			fix(&n.X)
		case *syntax.ReturnStmt:
			if n.Result != nil {
				fix(&n.Result)
			}
		case *syntax.IfStmt:
			fix(&n.Cond)
		case *syntax.WhileStmt:
			fix(&n.Cond)
		case *syntax.ForStmt:
			fix(&n.X)
		case *syntax.BinaryExpr:
			fix(&n.X)
			fix(&n.Y)
		case *syntax.CallExpr:
			fix(&n.Fn)
			for i := range n.Args {
				fix(&n.Args[i])
			}
		case *syntax.Comprehension:
			fix(&n.Body)
			for _, c := range n.Clauses {
				switch c := c.(type) {
				case *syntax.ForClause:
					fix(&c.X)
				case *syntax.IfClause:
					fix(&c.Cond)
				}
			}
		case *syntax.CondExpr:
			fix(&n.Cond)
			fix(&n.True)
			fix(&n.False)
		case *syntax.DictEntry:
			fix(&n.Key)
			fix(&n.Value)
		case *syntax.DotExpr:
			fix(&n.X)
		case *syntax.IndexExpr:
			fix(&n.X)
			fix(&n.Y)
		case *syntax.LambdaExpr:
			fix(&n.Body)
		case *syntax.ListExpr:
			for i := range n.List {
				fix(&n.List[i])
			}
		case *syntax.ParenExpr:
			fix(&n.X)
		case *syntax.SliceExpr:
			for _, x := range []*syntax.Expr{&n.X, &n.Lo, &n.Hi, &n.Step} {
				if *x != nil {
					fix(x)
				}
			}
		case *syntax.TupleExpr:
			for i := range n.List {
				fix(&n.List[i])
			}
		case *syntax.UnaryExpr:
			if n.X != nil {
				fix(&n.X)
			}
		}
		return true
	})
}
