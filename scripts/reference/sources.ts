/** The sources as data: the fields of schemas with their doc comments, for the reference pages. */
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript"

const src = path.resolve(import.meta.dirname, "../../src")

const files = fs
  .readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.includes(".generated."))
  .sort()
  .map((file) => {
    const text = fs.readFileSync(path.join(src, file), "utf8")
    return ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
  })

/** A field of a schema. */
export interface Field {
  readonly name: string
  /** Its doc comment in one line; empty without one. */
  readonly doc: string
  readonly isOptional: boolean
}

/** A class with a tag: a report or an error. */
export interface Tagged {
  readonly name: string
  readonly doc: string
  readonly fields: ReadonlyArray<Field>
  /** The exit status of an error; undefined for a report. */
  readonly exitStatus: string | undefined
}

/** Text for a cell of a table. */
export const cell = (text: string): string => text.replaceAll("|", "\\|")

const docOf = (node: ts.Node): string =>
  ts
    .getJSDocCommentsAndTags(node)
    .flatMap((found) => (ts.isJSDoc(found) ? [ts.getTextOfJSDocComment(found.comment) ?? ""] : []))
    .join(" ")
    .replace(/\s+/g, " ")
    .trim()

const fieldsOf = (fields: ts.ObjectLiteralExpression): ReadonlyArray<Field> =>
  fields.properties.flatMap((property): ReadonlyArray<Field> => {
    if (ts.isSpreadAssignment(property)) return fieldsOfValue(property.expression.getText())
    if (!ts.isPropertyAssignment(property) && !ts.isShorthandPropertyAssignment(property)) return []
    const value = ts.isPropertyAssignment(property) ? property.initializer.getText() : ""
    return [{ name: property.name.getText(), doc: docOf(property), isOptional: /^Schema\.optional/.test(value) }]
  })

const isObject = (node: ts.Node | undefined): node is ts.ObjectLiteralExpression =>
  node !== undefined && ts.isObjectLiteralExpression(node)

/** The first object literal in an expression: the fields of a schema. */
const objectIn = (node: ts.Node): ts.ObjectLiteralExpression | undefined => {
  if (isObject(node)) return node
  let found: ts.ObjectLiteralExpression | undefined
  ts.forEachChild(node, (child) => {
    found ??= objectIn(child)
  })
  return found
}

/** The fields of the schema, or of the object of fields, with this name. */
export const fieldsOfValue = (name: string): ReadonlyArray<Field> => {
  for (const file of files) {
    for (const statement of file.statements) {
      if (!ts.isVariableStatement(statement)) continue
      for (const declared of statement.declarationList.declarations) {
        if (declared.name.getText() !== name || declared.initializer === undefined) continue
        const fields = objectIn(declared.initializer)
        if (fields !== undefined) return fieldsOf(fields)
      }
    }
  }
  throw new Error(`no schema ${name} in src`)
}

/** Whether an error gets its exit status from a getter or a field. */
const given = (declared: ts.ClassDeclaration, fields: ts.ObjectLiteralExpression | undefined): boolean =>
  declared.members.some((member) => ts.isGetAccessor(member) && member.name.getText() === "exitStatus") ||
  (/TaggedError/.test(declared.heritageClauses?.[0]?.getText() ?? "") &&
    fields !== undefined &&
    fieldsOf(fields).some(({ name }) => name === "exitStatus"))

/** All classes with a tag, in the order of their names. */
export const tagged: ReadonlyArray<Tagged> = files
  .flatMap((file) => file.statements.filter(ts.isClassDeclaration))
  .flatMap((declared): ReadonlyArray<Tagged> => {
    const base = declared.heritageClauses?.[0]?.types[0]?.expression
    const name = declared.name?.text
    if (base === undefined || name === undefined || !/^(Schema|Data)\.Tagged/.test(base.getText())) return []
    const fields = ts.isCallExpression(base) ? base.arguments.find(isObject) : undefined
    const status = declared.members.find(
      (member): member is ts.PropertyDeclaration =>
        ts.isPropertyDeclaration(member) && member.name.getText() === "exitStatus"
    )
    return [
      {
        name,
        doc: docOf(declared),
        fields: fields === undefined ? [] : fieldsOf(fields),
        exitStatus: status?.initializer?.getText() ?? (given(declared, fields) ? "given" : undefined)
      }
    ]
  })
  .sort((one, other) => one.name.localeCompare(other.name))

/** A table of fields. Required ones first, in the order of the source. */
export const fieldTable = (fields: ReadonlyArray<Field>): ReadonlyArray<string> => [
  "| field | | |",
  "|---|---|---|",
  ...fields.map(({ doc, isOptional, name }) => `| \`${name}\` | ${isOptional ? "" : "required"} | ${cell(doc)} |`)
]
