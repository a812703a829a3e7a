/** Lines without the time that they begin with if no terminal shows them. */
export const untimed = (text: string): string => text.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /gm, "")
