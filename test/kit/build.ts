/** Makes what the tests run but do not compile themselves. */
export default (): void => {}
