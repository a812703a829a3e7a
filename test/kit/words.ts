/** Lines without the time that they begin with if no terminal shows them. */
export const untimed = (text: string): string => text.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /gm, "")

/** Text without the signs of verdicts, which tests of their own prove. */
export const unsigned = (text: string): string => text.replace(/(?<=^|\s)[✓✗!?] (?=\S)/gm, "")
