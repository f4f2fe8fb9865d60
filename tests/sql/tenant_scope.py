"""Find out whether a statement of SQL holds to one tenant, from its syntax tree.

Each table with a tenant has a node, and so have the values that name a tenant: a parameter `tenant_id`, a field
`tenant_id` of a PL/pgSQL variable or of an unnested request, a constant. A condition `a.tenant_id = b.tenant_id` joins
two nodes. A statement holds to one tenant at a time if all its tables are joined to each other and to such a value.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import pglast
from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, SubLinkType
from pglast.stream import RawStream

TENANT = "tenant_id"
OWNER_TABLE = "tenants"  # its `id` is the tenant
PARAMETERS = {"tenant_id", "tenant_ids", "owner"}


_ARRAY = re.compile(r"\b(?!text|bytea|int|smallint|timestamptz)\w+\[\]")


def statements_of_function(text: str) -> Iterator[str]:
    """Return the statements and expressions of each function of a file, as SELECT where they are expressions."""
    for raw in pglast.parse_sql(text):
        function = raw.stmt
        if not isinstance(function, ast.CreateFunctionStmt):
            continue
        options = {option.defname: option.arg for option in function.options}
        if options["language"].sval == "sql":
            yield options["as"][0].sval
            continue
        whole = text.encode()[raw.stmt_location :][: raw.stmt_len or None].decode()
        # The parser knows no types of a database, and takes no arrays of them.
        for query, mode in _queries(pglast.parse_plpgsql(_ARRAY.sub("text[]", whole))):
            yield query if mode == 0 else f"select {query.partition(':=')[2] if mode > 2 else query}"


def _queries(tree: Any) -> Iterator[tuple[str, int]]:
    if isinstance(tree, dict):
        if "PLpgSQL_expr" in tree:
            yield tree["PLpgSQL_expr"]["query"], tree["PLpgSQL_expr"]["parseMode"]
        for value in tree.values():
            yield from _queries(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _queries(value)


def faults_of(text: str, tables: Collection[str], parameters: tuple[str, ...] = ()) -> set["Fault"]:
    """Return the faults of each statement of a text. `parameters` are the names of `$1`, `$2`, …"""
    found: set[Fault] = set()
    for raw in pglast.parse_sql(text):
        found.update(Analysis(tables, parameters).faults(raw.stmt))
    return found


class Fault(NamedTuple):
    """A statement that does not hold to one tenant.

    `kind`: all_tenants (no value names the tenant), join (tables are not joined by it), sandbox (only by a part of it).
    """

    kind: str
    tables: tuple[str, ...]


class Value(NamedTuple):
    """The node of an expression that names a tenant. `is_part`: of a sandbox, only the tenant that owns it."""

    node: "Node"
    is_part: bool = False


class Node:
    """A column or a value that names a tenant."""

    def __init__(self, table: str | None = None, *, is_source: bool = False) -> None:
        self.table = table
        self.is_source = is_source
        self.parent: Node | None = None

    def root(self) -> "Node":
        return self if self.parent is None else self.parent.root()

    def join(self, other: "Node") -> None:
        one, two = self.root(), other.root()
        if one is not two:
            one.parent = two
            two.is_source = two.is_source or one.is_source


class Relation(NamedTuple):
    """An entry of FROM: its columns that name a tenant; `is_row`: any field `tenant_id` of it is a value."""

    columns: dict[str, Value]
    is_row: bool = False


class Scope:
    """The relations of one level, and the levels around it."""

    def __init__(self, outer: "Scope | None" = None) -> None:
        self.outer = outer
        self.relations: dict[str, Relation] = {}
        self.common: dict[str, Relation] = dict(outer.common) if outer is not None else {}

    def find(self, alias: str) -> Relation | None:
        found = self.relations.get(alias)
        return found if found is not None or self.outer is None else self.outer.find(alias)

    def with_column(self, name: str) -> Value | None:
        found = next((r.columns[name] for r in self.relations.values() if name in r.columns), None)
        return found if found is not None or self.outer is None else self.outer.with_column(name)


class Analysis:
    """The nodes of one statement. `tables` are the tables with a tenant, `parameters` the names of `$1`, `$2`, …"""

    def __init__(self, tables: Collection[str], parameters: tuple[str, ...] = ()) -> None:
        self._tables = tables
        self._parameters = parameters
        self._nodes: list[Node] = []
        self._values: dict[str, Node] = {}
        self._parts: list[str] = []
        self._read: dict[int, dict[str, Value]] = {}
        self._scopes: dict[int, Scope] = {}

    def faults(self, statement: Any) -> list[Fault]:
        self._statement(statement, Scope())
        groups: dict[Node, set[str]] = {}
        for node in self._nodes:
            groups.setdefault(node.root(), set()).add(node.table or "")
        faults = [Fault("all_tenants", tuple(sorted(tables))) for root, tables in groups.items() if not root.is_source]
        if len(groups) > 1:
            faults = [Fault("join", tuple(sorted(set().union(*groups.values()))))]
        return faults + [Fault("sandbox", (table,)) for table in sorted(set(self._parts))]

    # Statements

    def _statement(self, statement: Any, outer: Scope) -> dict[str, Value]:
        """Read a statement, once; return its output columns that name a tenant."""
        if id(statement) not in self._read:
            self._scopes[id(statement)] = scope = Scope(outer)
            self._read[id(statement)] = self._columns_of(statement, scope)
        return self._read[id(statement)]

    def _columns_of(self, statement: Any, scope: Scope) -> dict[str, Value]:
        for common in statement.withClause.ctes if getattr(statement, "withClause", None) else ():
            self._common(common, scope)
        match statement:
            case ast.SelectStmt():
                return self._select(statement, scope)
            case ast.InsertStmt():
                self._insert(statement, scope)
            case ast.UpdateStmt():
                self._from([statement.relation, *(statement.fromClause or ())], scope)
                self._conditions(statement.whereClause, scope)
                self._expressions([statement.whereClause, *statement.targetList], scope)
            case ast.DeleteStmt():
                self._from([statement.relation, *(statement.usingClause or ())], scope)
                self._conditions(statement.whereClause, scope)
                self._expressions([statement.whereClause], scope)
            case _:
                return {}
        returning = statement.returningClause
        return self._output(returning.exprs if returning is not None else (), scope)

    def _common(self, common: Any, scope: Scope) -> None:
        columns: dict[str, Value] = {}
        scope.common[common.ctename] = Relation(columns)  # of a recursive one: its own columns
        if getattr(common.ctequery, "op", None) and common.ctequery.larg is not None:
            columns.update(self._statement(common.ctequery.larg, scope))
            scope.common[common.ctename] = Relation(columns)
        columns.update(_renamed(self._statement(common.ctequery, scope), common.aliascolnames))

    def _select(self, select: Any, scope: Scope) -> dict[str, Value]:
        if select.larg is not None:
            first, second = self._statement(select.larg, scope), self._statement(select.rarg, scope)
            for (_, one), (_, two) in zip(first.items(), second.items(), strict=False):
                one.node.join(two.node)
            return first
        self._from(select.fromClause or (), scope)
        self._conditions(select.whereClause, scope)
        lists = [select.targetList, select.groupClause, select.sortClause, select.valuesLists]
        self._expressions(
            [select.whereClause, select.havingClause, select.limitCount, select.limitOffset, *lists], scope
        )
        return self._output(select.targetList or (), scope)

    def _insert(self, insert: Any, scope: Scope) -> None:
        target = self._table(insert.relation)
        source = insert.selectStmt
        outputs: list[Value | None] = []
        if source is not None and source.valuesLists:
            outputs = [self._value(item, scope) for item in source.valuesLists[0]]
            self._expressions(source.valuesLists, scope)
        elif source is not None:
            self._statement(source, scope)
            first = _first_arm(source)
            outputs = [self._value(item.val, self._scopes[id(first)]) for item in first.targetList or ()]
        names = [column.name for column in insert.cols or ()]
        place = names.index(TENANT) if TENANT in names else 0  # it is the first column of every table
        if insert.relation.relname == OWNER_TABLE and names:
            place = names.index("id")
        if target.columns and place < len(outputs) and (value := outputs[place]) is not None:
            next(iter(target.columns.values())).node.join(value.node)
        scope.relations[_alias(insert.relation)] = target
        if insert.onConflictClause is not None:
            conflict = insert.onConflictClause
            self._expressions([conflict.whereClause, *(conflict.targetList or ())], scope)

    def _output(self, targets: Any, scope: Scope) -> dict[str, Value]:
        columns: dict[str, Value] = {}
        for target in targets:
            match target.val:
                case ast.ColumnRef(fields=[*first, ast.A_Star()]):
                    relations = [scope.find(first[0].sval)] if first else list(scope.relations.values())
                    for relation in relations:
                        if relation is not None and relation.is_row:
                            columns[TENANT] = Value(self._source(f"row {id(relation.columns)}"))
                        elif relation is not None:
                            columns |= relation.columns
                case ast.A_Indirection(indirection=[*_, ast.A_Star()]):
                    columns[TENANT] = self._row_field(target.val.arg, scope)
                case value:
                    if (found := self._value(value, scope)) is not None:
                        columns[target.name or _name_of(value)] = found
        return columns

    # FROM

    def _from(self, entries: Any, scope: Scope) -> None:
        for entry in entries:
            self._entry(entry, scope)

    def _entry(self, entry: Any, scope: Scope) -> None:
        match entry:
            case ast.RangeVar():
                common = scope.common.get(entry.relname)
                scope.relations[_alias(entry)] = common if common is not None else self._table(entry)
            case ast.RangeSubselect():
                columns = _renamed(self._statement(entry.subquery, scope), entry.alias.colnames)
                scope.relations[entry.alias.aliasname] = Relation(columns)
            case ast.RangeFunction():
                self._expressions([entry.functions], scope)
                if entry.alias is not None:
                    scope.relations[entry.alias.aliasname] = Relation({}, is_row=True)
            case ast.JoinExpr():
                self._entry(entry.larg, scope)
                before = scope.with_column(TENANT)
                self._entry(entry.rarg, scope)
                if TENANT in [name.sval for name in entry.usingClause or ()]:
                    self._join(before, scope.relations[_alias(entry.rarg)].columns.get(TENANT))
                self._conditions(entry.quals, scope)
                self._expressions([entry.quals], scope)

    def _table(self, entry: Any) -> Relation:
        if entry.relname not in self._tables:
            return Relation({})
        node = Node(entry.relname)
        self._nodes.append(node)
        return Relation({"id" if entry.relname == OWNER_TABLE else TENANT: Value(node)})

    # Conditions and values

    def _conditions(self, condition: Any, scope: Scope) -> None:
        """Join what a condition equates, in every row."""
        match condition:
            case ast.BoolExpr(boolop=BoolExprType.AND_EXPR):
                for part in condition.args:
                    self._conditions(part, scope)
            case ast.A_Expr(kind=A_Expr_Kind.AEXPR_OP) if condition.name[0].sval == "=":
                for one, two in self._pairs(condition.lexpr, condition.rexpr, scope):
                    self._join(one, two)
            case ast.A_Expr(kind=A_Expr_Kind.AEXPR_IN):
                for item in condition.rexpr:
                    self._join(self._value(condition.lexpr, scope), self._value(item, scope))
            case ast.A_Expr(kind=A_Expr_Kind.AEXPR_OP_ANY):
                self._join(self._value(condition.lexpr, scope), self._value(condition.rexpr, scope))
            case ast.SubLink(subLinkType=SubLinkType.ANY_SUBLINK) if condition.testexpr is not None:
                inner = list(self._statement(condition.subselect, scope).values())
                tested = condition.testexpr
                first = tested.args[0] if isinstance(tested, ast.RowExpr) else tested
                self._join(self._value(first, scope), inner[0] if inner else None)

    def _pairs(self, left: Any, right: Any, scope: Scope) -> Iterator[tuple[Value | None, Value | None]]:
        if isinstance(left, ast.RowExpr) and isinstance(right, ast.RowExpr):
            for one, two in zip(left.args, right.args, strict=True):
                yield self._value(one, scope), self._value(two, scope)
        elif isinstance(left, ast.RowExpr) and isinstance(right, ast.SubLink):
            inner = list(self._statement(right.subselect, scope).values())
            yield self._value(left.args[0], scope), inner[0] if inner else None
        else:
            yield self._value(left, scope), self._value(right, scope)

    def _join(self, one: Value | None, two: Value | None) -> None:
        if one is None or two is None:
            return
        one.node.join(two.node)
        if one.is_part != two.is_part:
            whole = two if one.is_part else one
            if whole.node.table is not None and OWNER_TABLE not in (one.node.table, two.node.table):
                self._parts.append(whole.node.table)

    def _value(self, value: Any, scope: Scope) -> Value | None:
        """Return the node of an expression that names a tenant, None of another one."""
        match value:
            case ast.ColumnRef():
                return self._column(tuple(_text(field) for field in value.fields), scope)
            case ast.A_Indirection() if _text(value.indirection[-1]) == TENANT:
                return self._row_field(value.arg, scope)
            case ast.ParamRef():
                name = self._parameters[value.number - 1] if self._parameters else ""
                return Value(self._source(name)) if name in PARAMETERS else None
            case ast.A_Const() if isinstance(value.val, ast.String):
                return Value(self._source(f"'{value.val.sval}'"))
            case ast.TypeCast():
                return self._value(value.arg, scope)
            case ast.FuncCall() if value.funcname[-1].sval == "split_part":
                found = self._value(value.args[0], scope)
                return Value(found.node, is_part=True) if found is not None else None
            case ast.A_Expr(kind=A_Expr_Kind.AEXPR_OP) if value.name[0].sval == "||":
                found = self._value(value.lexpr, scope)
                return Value(found.node, is_part=True) if found is not None else None
            case ast.SubLink(subLinkType=SubLinkType.EXPR_SUBLINK):
                inner = list(self._statement(value.subselect, scope).values())
                return inner[0] if inner else None
        return None

    def _row_field(self, row: Any, scope: Scope) -> Value:
        """Return the node of the field `tenant_id` of a row: of a table, or of a request."""
        return self._value(row, scope) or Value(self._source(RawStream()(row)))

    def _column(self, names: tuple[str, ...], scope: Scope) -> Value | None:
        if len(names) == 1:
            relation = scope.find(names[0])  # a whole row
            if relation is not None and relation.is_row:
                return Value(self._source(f"row {id(relation.columns)}"))
            if relation is not None and TENANT in relation.columns and scope.with_column(names[0]) is None:
                return relation.columns[TENANT]
            found = scope.with_column(names[0])
            return found or (Value(self._source("variable")) if names[0] == TENANT else None)
        relation = scope.find(names[0])
        if relation is None:
            return Value(self._source(names[0])) if names[-1] == TENANT else None
        if relation.is_row and names[-1] in (TENANT, "event_tenant"):
            return Value(self._source(f"row {id(relation.columns)}"))
        return relation.columns.get(names[1])

    def _source(self, name: str) -> Node:
        return self._values.setdefault(name, Node(is_source=True))

    def _expressions(self, parts: Any, scope: Scope) -> None:
        """Read the statements inside of expressions."""
        for part in parts:
            match part:
                case tuple() | list():
                    self._expressions(part, scope)
                case ast.SubLink():
                    self._statement(part.subselect, scope)
                    self._expressions([part.testexpr], scope)
                case ast.Node():
                    self._expressions([getattr(part, slot) for slot in part if slot], scope)


def _renamed(columns: dict[str, Value], names: Any) -> dict[str, Value]:
    """Return columns under the names of an alias. Of several only the first can be the tenant's."""
    if not names:
        return columns
    return {names[0].sval: next(iter(columns.values()))} if columns else {}


def _first_arm(select: Any) -> Any:
    return select if select.larg is None else _first_arm(select.larg)


def _alias(entry: Any) -> str:
    if isinstance(entry, ast.JoinExpr):
        return _alias(entry.rarg)
    alias: str = entry.alias.aliasname if entry.alias is not None else entry.relname
    return alias


def _text(field: Any) -> str:
    return getattr(field, "sval", "*")


def _name_of(value: Any) -> str:
    match value:
        case ast.ColumnRef():
            return _text(value.fields[-1])
        case ast.A_Indirection():
            return _text(value.indirection[-1])
        case ast.TypeCast():
            return _name_of(value.arg)
    return "?"
